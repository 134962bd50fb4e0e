/** Critiques from a model behind the Policy port: the policy itself, or another checkpoint on the embedded engine. */
import type { Policy, SampleRequest, SamplingParameters, TextCodec } from "../../policy/policy.js";
import { encodePrompt } from "../../text/prompt.js";
import type { CriticRun } from "./critic.js";
import type { CritiquePrompt, CritiqueWriter, Draft } from "./language-model.js";

/** The model that writes. */
export interface WritingModel {
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly close: () => Promise<void>;
}

export type CritiqueSampling = Pick<SamplingParameters, "temperature" | "topP" | "maxTokens">;

/** Less room than this, or than the longest critique, is no room. */
const LEAST_TOKENS = 16;

/**
 * Each critique depends on its prompt, its seed and the weights alone, so a resumed run draws the same ones: nothing is
 * kept on disk.
 */
export class PolicyWriter implements CritiqueWriter {
  readonly #sampling: CritiqueSampling;
  readonly #openModel: (run: CriticRun) => Promise<WritingModel>;
  #model: WritingModel | null = null;

  constructor(sampling: CritiqueSampling, openModel: (run: CriticRun) => Promise<WritingModel>) {
    this.#sampling = sampling;
    this.#openModel = openModel;
  }

  async open(run: CriticRun): Promise<void> {
    this.#model = await this.#openModel(run);
  }

  async close(): Promise<void> {
    await this.#model?.close();
    this.#model = null;
  }

  async write(prompts: readonly CritiquePrompt[], options: { signal?: AbortSignal }): Promise<Draft[]> {
    if (this.#model === null) throw new Error("The critic has no model: call open() before critique()");
    const { policy, codec } = this.#model;
    const start = performance.now();
    const prepared = prompts.map((prompt) => this.#prepare(prompt, policy, codec));
    const requests = prepared.flatMap((entry) => ("request" in entry ? [entry.request] : []));
    const drafts = new Map<object, Draft>();
    for await (const { requestIndex, tokens, stopReason } of policy.sample(requests, { ...options, rollout: true })) {
      const request = requests[requestIndex]!;
      const record = {
        stopReason,
        latencyMs: Math.round(performance.now() - start),
        tokens: { prompt: request.prompt.length, completion: tokens.length },
      };
      drafts.set(request, { text: codec.decode(tokens), record });
    }
    return prepared.map((entry) => {
      if ("failure" in entry) return { failure: entry.failure, record: {} };
      const draft = drafts.get(entry.request);
      if (draft === undefined) throw new Error("The engine returned no critique for one of the requests");
      return draft;
    });
  }

  #prepare(
    prompt: CritiquePrompt,
    policy: Policy,
    codec: TextCodec,
  ): { readonly request: SampleRequest } | { readonly failure: string } {
    let tokens: readonly number[];
    try {
      tokens = encodePrompt(codec, prompt.chat ? [{ role: "user", content: prompt.text }] : prompt.text);
    } catch (error) {
      return { failure: `the critic's prompt cannot be encoded: ${error instanceof Error ? error.message : error}` };
    }
    const { temperature, topP, maxTokens: longest } = this.#sampling;
    const { contextLength } = policy.info;
    const maxTokens = Math.min(longest, contextLength - tokens.length);
    if (maxTokens < Math.min(longest, LEAST_TOKENS)) {
      return {
        failure: `the critic's prompt of ${tokens.length} tokens leaves no room for a critique: the context holds ${contextLength}`,
      };
    }
    const { stopTokens } = codec;
    return {
      request: { prompt: tokens, count: 1, seed: prompt.seed, temperature, topP, topK: 0, maxTokens, stopTokens },
    };
  }
}

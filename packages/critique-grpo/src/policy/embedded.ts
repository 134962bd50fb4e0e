/** The Policy port over the embedded engine: a thin layer that adds the policy version and the frozen reference. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FrozenModel, LanguageModel, ModelSource } from "@critique-grpo/engine";
import type { RunConfig } from "../config/schema.js";
import type {
  AdamWParameters,
  ForwardBackwardResult,
  OptimizerStepResult,
  Policy,
  PolicyInfo,
  SampledSequence,
  SampleOptions,
  SampleRequest,
  TokenLogprobs,
  TokenLoss,
  TokenSequence,
} from "./policy.js";

export type EmbeddedEngineConfig = Extract<RunConfig["engine"], { type: "embedded" }>;

interface PassOptions {
  readonly temperature?: number;
  readonly signal?: AbortSignal;
}

export interface EmbeddedPolicyOptions {
  /** Of one forward/backward pass; default: the engine's. */
  readonly microBatchTokens?: number | undefined;
  /** What rollouts are drawn with; default float32. */
  readonly rolloutPrecision?: EmbeddedEngineConfig["rolloutPrecision"];
}

const VERSION_FILE = "policy.json";

export class EmbeddedPolicy implements Policy {
  readonly info: PolicyInfo;
  readonly #model: LanguageModel;
  readonly #options: EmbeddedPolicyOptions;
  #reference: FrozenModel | null = null;
  /** Optimizer steps that changed the weights. */
  #version = 0;
  /** The weights are no longer those the policy was opened with. */
  #changed = false;

  constructor(model: LanguageModel, name: string, options: EmbeddedPolicyOptions = {}) {
    const { device, contextLength, parameterCount, vocabularySize, eosTokenIds } = model.info;
    this.#model = model;
    this.#options = options;
    this.info = {
      engine: "embedded",
      model: name,
      device,
      contextLength,
      parameterCount,
      vocabularySize,
      eosTokenIds,
      capabilities: {
        exactEntropy: true,
        fullFineTuning: model.info.lora === null,
        reference: true,
        staleSamplersSafe: true,
      },
    };
  }

  /** Keeps a frozen copy of the weights as they are now, for `referenceLogprobs`. */
  async freezeReference(): Promise<void> {
    this.#reference ??= await this.#model.freeze();
  }

  async *sample(
    requests: readonly SampleRequest[],
    { signal, rollout = false }: SampleOptions = {},
  ): AsyncIterable<SampledSequence> {
    const policyVersion = this.#version;
    const { rolloutPrecision = "float32" } = this.#options;
    const options = { ...(signal && { signal }), precision: rollout ? rolloutPrecision : "float32" } as const;
    for await (const sequence of this.#model.sample(requests, options)) yield { ...sequence, policyVersion };
  }

  logprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: PassOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    return this.#model.logprobs(sequences, this.#passOptions(options));
  }

  /** @throws Error if the weights have changed since the policy was opened and no reference was kept. */
  async referenceLogprobs<S extends TokenSequence>(
    sequences: readonly S[],
    options: PassOptions = {},
  ): Promise<readonly TokenLogprobs[]> {
    if (this.#reference === null && this.#changed) {
      throw new Error(
        "The weights have changed since the policy was opened: open it with `reference: true` to keep a frozen copy",
      );
    }
    await this.freezeReference();
    return this.#reference!.logprobs(sequences, this.#passOptions(options));
  }

  forwardBackward<S extends TokenSequence>(
    sequences: readonly S[],
    tokenLoss: TokenLoss<S>,
    options: PassOptions = {},
  ): Promise<ForwardBackwardResult<S>> {
    return this.#model.forwardBackward(sequences, tokenLoss, this.#passOptions(options));
  }

  async optimizerStep(parameters: AdamWParameters): Promise<OptimizerStepResult> {
    const result = await this.#model.optimizerStep(parameters);
    if (!result.skipped) {
      this.#version++;
      this.#changed = true;
    }
    return result;
  }

  async saveState(directory: string): Promise<void> {
    await this.#model.saveState(directory);
    await writeFile(join(directory, VERSION_FILE), `${JSON.stringify({ version: this.#version })}\n`);
  }

  async loadState(directory: string): Promise<void> {
    await this.#model.loadState(directory);
    this.#changed = true;
    const { version } = JSON.parse(await readFile(join(directory, VERSION_FILE), "utf8")) as { version: number };
    this.#version = version;
  }

  /** With adapters: the merged model, and the adapters themselves in its folder `adapter`. */
  async exportModel(directory: string): Promise<void> {
    await this.#model.exportModel(directory);
    if (this.#model.info.lora !== null) await this.#model.exportAdapter(join(directory, "adapter"));
  }

  async close(): Promise<void> {
    await this.#reference?.close();
    await this.#model.close();
  }

  #passOptions(options: PassOptions) {
    const { microBatchTokens } = this.#options;
    return microBatchTokens === undefined ? options : { ...options, microBatchTokens };
  }
}

/** Where the engine finds the weights that the configuration names. */
export function modelSource(model: EmbeddedEngineConfig["model"]): ModelSource {
  return typeof model === "string" ? { directory: model } : model;
}

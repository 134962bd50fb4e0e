/** Responses of a checkpoint on a Tinker server. */
import type { SamplingClient } from "@critique-grpo/tinker";
import type { TextCodec } from "../../policy/policy.js";
import { asTheyFinish } from "../../policy/tinker-concurrency.js";
import { encodePrompt } from "../../text/prompt.js";
import type { GeneratedResponse, GenerationRequest, ResponseGenerator } from "./generator.js";

/** One request a sample, so that what was paid for is never asked for again; the client bounds how many are under way. */
export function tinkerGenerator(sampler: SamplingClient, codec: TextCodec): ResponseGenerator {
  return {
    async *generate(requests, options = {}) {
      const ended = new AbortController();
      const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
      try {
        yield* asTheyFinish(
          requests.flatMap((request, requestIndex) => {
            const prompt = encodePrompt(codec, request.question.prompt);
            return request.samples.map((sample) =>
              draw(sampler, codec, { request, prompt, requestIndex, sample }, signal),
            );
          }),
        );
      } finally {
        // Of samples that nobody waits for any more.
        ended.abort();
      }
    },
  };
}

interface Task {
  readonly request: GenerationRequest;
  readonly prompt: readonly number[];
  readonly requestIndex: number;
  readonly sample: number;
}

async function draw(
  sampler: SamplingClient,
  codec: TextCodec,
  { request, prompt, requestIndex, sample }: Task,
  signal: AbortSignal,
): Promise<GeneratedResponse> {
  const { temperature, topP, topK, maxTokens, seed } = request;
  const { sequences } = await sampler.sample({
    prompt,
    numSamples: 1,
    samplingParams: {
      ...{ temperature, topP, maxTokens, seed: seed + sample },
      ...(topK === 0 ? {} : { topK }),
      ...(codec.stopTokens.length === 0 ? {} : { stop: codec.stopTokens }),
    },
    signal,
  });
  const { tokens, stopReason } = sequences[0]!;
  const ids = [...tokens];
  return { requestIndex, sample, text: codec.decode(ids), tokens: ids, length: ids.length, stopReason };
}

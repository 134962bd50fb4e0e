/** Critics that are models behind the Policy port. */

import { engineSchema } from "../../config/engine-schema.js";
import { InputError } from "../../config/errors.js";
import type { RunConfig } from "../../config/schema.js";
import { readModelLimits } from "../../policy/model-limits.js";
import { openPolicy } from "../../policy/open.js";
import { loadTextCodec } from "../../text/codec.js";
import type { Critic } from "./critic.js";
import { createLanguageModelCritic } from "./language-model.js";
import { PolicyWriter } from "./policy-writer.js";

type CritiqueConfig<T extends RunConfig["critique"]["type"]> = Extract<RunConfig["critique"], { readonly type: T }>;

/** The policy criticises its own answers. */
export function createSelfCritic(config: CritiqueConfig<"self">): Critic {
  // The policy is the run's to close.
  const writer = new PolicyWriter(config.sampling, async ({ policy, codec }) => ({
    policy,
    codec,
    close: async () => {},
  }));
  return createLanguageModelCritic("self", config, writer);
}

/**
 * Another model on the embedded engine, weaker or stronger than the policy. Its configuration and tokenizer are read
 * here, its weights when a run opens the critic.
 * @throws InputError that names the file and what is wrong.
 */
export function createCheckpointCritic(config: CritiqueConfig<"checkpoint">): Critic {
  const { model, threads, contextLength, sampling } = config;
  const engine = engineSchema.parse({ type: "embedded", model, threads, contextLength });
  const codec = loadTextCodec(model);
  const { vocabularySize } = readModelLimits(engine);
  if (vocabularySize !== undefined && codec.vocabularySize > vocabularySize) {
    throw new InputError(
      `critique.model ${model}: the tokenizer knows ${codec.vocabularySize} tokens, the model ${vocabularySize}; they do not belong together`,
    );
  }
  const writer = new PolicyWriter(sampling, async () => {
    const policy = await openPolicy(engine);
    return { policy, codec, close: () => policy.close() };
  });
  return createLanguageModelCritic("checkpoint", config, writer);
}

/** From the configuration of an engine to a policy. */
import type { RunConfig } from "../config/schema.js";
import { EmbeddedPolicy, modelSource } from "./embedded.js";
import { loadModel } from "./load-model.js";
import type { Policy } from "./policy.js";
import { openTinkerPolicy } from "./tinker-open.js";

export interface OpenPolicyOptions {
  /** A frozen copy of the starting weights is needed: where algorithm.klCoefficient is above 0. Default false. */
  readonly reference?: boolean;
  /** Messages of a remote engine for the user, such as waiting for capacity. */
  readonly onNotice?: (message: string) => void;
}

/** Loads the model of a configuration, or connects to the server that has it. The caller closes the policy. */
export async function openPolicy(engine: RunConfig["engine"], options: OpenPolicyOptions = {}): Promise<Policy> {
  switch (engine.type) {
    case "embedded": {
      const { threads, contextLength, model, lora, device, recompute, memoryGiB, frozenWeights } = engine;
      const loaded = await loadModel(modelSource(model), {
        ...(device === undefined ? {} : { device }),
        ...(threads === undefined ? {} : { threads }),
        ...(contextLength === undefined ? {} : { contextLength }),
        ...(lora ? { lora } : {}),
        ...(frozenWeights === undefined ? {} : { frozenWeights }),
        ...(recompute === undefined ? {} : { recompute }),
        ...(memoryGiB === undefined ? {} : { memoryBytes: memoryGiB * 2 ** 30 }),
      });
      const name = typeof model === "string" ? model : model.config;
      const policy = new EmbeddedPolicy(loaded, name, engine);
      if (options.reference === true) await policy.freezeReference();
      return policy;
    }
    case "tinker":
      return openTinkerPolicy(engine, options);
    default:
      throw new RangeError(`Unknown engine ${String(engine satisfies never)}`);
  }
}

import { StaleSamplerError } from "../errors.js";
import type { Dialect } from "./dialect.js";

/** Which weights a sampler stands for: the `save`-th sampler save of a model, made after `step` optimizer steps. */
export interface SamplerVersion {
  readonly modelId: string;
  readonly name: string;
  readonly save: number;
  readonly step: number;
}

interface ModelState {
  steps: number;
  saves: number;
  readonly byName: Map<string, SamplerVersion>;
  readonly sampling: Set<Promise<unknown>>;
}

/**
 * Keeps sampling and training of one model apart where the server cannot. SkyRL-JAX loads a sampler's file into the slot
 * that trains; SkyRL-train samples whatever weights were synchronised last. On such servers a stale sampler is refused,
 * and an optimizer step waits for the samples under way.
 */
export class SamplerGuard {
  private readonly models = new Map<string, ModelState>();

  constructor(private readonly dialect: () => Dialect) {}

  /** Call when a model is trained by this client. */
  register(modelId: string): void {
    this.models.set(modelId, { steps: 0, saves: 0, byName: new Map(), sampling: new Set() });
  }

  forget(modelId: string): void {
    this.models.delete(modelId);
  }

  /** Call when a sampler save is about to be sent; gives the version that later sampling is checked against. */
  saved(modelId: string, name: string): SamplerVersion {
    const state = this.models.get(modelId);
    const version = { modelId, name, save: state === undefined ? 0 : ++state.saves, step: state?.steps ?? 0 };
    state?.byName.set(name, version);
    return version;
  }

  /** The version behind a checkpoint name; undefined where the model is not trained here, and so not guarded. */
  find(modelId: string, name: string): SamplerVersion | undefined {
    const state = this.models.get(modelId);
    if (state === undefined) return undefined;
    return state.byName.get(name) ?? { modelId, name, save: -1, step: -1 };
  }

  /** Waits until no sample of the model is under way, where a step would change the weights under it; then counts the step. */
  async beforeStep(modelId: string): Promise<void> {
    const state = this.models.get(modelId);
    if (state === undefined) return;
    if (this.dialect().samplers === "latest-save-unstepped") {
      while (state.sampling.size > 0) await Promise.allSettled(state.sampling);
    }
    state.steps++;
  }

  /** Runs a sampling call. Throws {@link StaleSamplerError} where the server no longer holds the sampler's weights. */
  async sampling<T>(version: SamplerVersion | undefined, run: () => Promise<T>): Promise<T> {
    const state = version === undefined ? undefined : this.models.get(version.modelId);
    if (version === undefined || state === undefined) return run();
    this.check(version, state);
    const call = run();
    state.sampling.add(call);
    try {
      return await call;
    } finally {
      state.sampling.delete(call);
    }
  }

  private check(version: SamplerVersion, state: ModelState): void {
    const { name, samplers } = this.dialect();
    const path = `tinker://${version.modelId}/sampler_weights/${version.name}`;
    switch (samplers) {
      case "immutable":
        return;
      case "latest-save":
        if (version.save !== state.saves) {
          throw new StaleSamplerError(
            `${path} is not the model's latest sampler save, and ${name} always samples the weights saved last: the samples would silently come from other weights. Save weights for a sampler again`,
          );
        }
        return;
      case "latest-save-unstepped":
        if (version.save !== state.saves || version.step !== state.steps) {
          throw new StaleSamplerError(
            `${path} was saved before the model's latest optimizer step or sampler save. ${name} loads a sampler's file into the slot that is being trained: sampling it would overwrite the trained weights. Save weights for a sampler again after each step`,
          );
        }
        return;
      default:
        samplers satisfies never;
    }
  }
}

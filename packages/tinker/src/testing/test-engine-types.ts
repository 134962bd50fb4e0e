import type { DialectName } from "../dialect/dialect.js";
import type { SampleResponse } from "../protocol/sampling.js";
import type { ForwardBackwardOutput } from "../protocol/training.js";
import type { BigramModel, TrainingState } from "./bigram-model.js";

export interface ServerBehaviour {
  readonly dialect: DialectName;
  /** Whether training requests are recognised when repeated; the hosted service always does. */
  readonly idempotent: boolean;
  readonly vocabulary: number;
}

/** An answer other than success. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export type Executed =
  | { readonly kind: "json"; readonly value: object }
  | { readonly kind: "training"; readonly output: ForwardBackwardOutput }
  | { readonly kind: "samples"; readonly response: SampleResponse };

/** Work that was asked for. `admit` runs once it is certain to be new. */
export interface Job {
  readonly modelId: string;
  readonly key?: string;
  readonly sequenceIds?: readonly string[];
  readonly admit?: () => void;
  readonly run: () => Promise<Executed> | Executed;
}

export interface ServedModel {
  readonly id: string;
  readonly sessionId: string;
  readonly slot: number;
  readonly rank: number;
  readonly model: BigramModel;
  /** Sequence ids done, for order and lost promises. */
  nextSeq: number;
  readonly results: Map<number, Executed>;
  readonly waiting: Map<number, () => void>;
  touched: boolean;
  /** SkyRL-JAX: sampler weights that are loaded in the slot. */
  loaded: string | undefined;
  /** SkyRL-train: weights synchronised to the samplers last. */
  synchronised: Float64Array | undefined;
}

export interface Checkpoint {
  readonly runId: string;
  readonly kind: "weights" | "sampler_weights";
  readonly name: string;
  state: TrainingState | undefined;
}

export function refuse(status: number, message: string): never {
  throw new Refusal(status, message);
}

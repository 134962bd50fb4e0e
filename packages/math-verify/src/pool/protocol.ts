import type { VerifyOptions } from "../options.js";
import type { Verdict } from "../verify.js";

/** What the pool sends a worker. */
export interface Task {
  readonly id: number;
  readonly gold: string;
  readonly prediction: string;
  readonly options: VerifyOptions;
}

/** What a worker sends the pool: once when it is loaded, then twice for each task. */
export type WorkerMessage =
  | { readonly type: "ready" }
  | { readonly type: "started"; readonly id: number }
  | { readonly type: "finished"; readonly id: number; readonly verdict: Verdict; readonly elapsedMs: number };

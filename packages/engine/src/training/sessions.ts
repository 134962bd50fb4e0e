import { availableParallelism } from "node:os";
import { type Subgraph, serialiseModel } from "../graph/index.js";
import { type BoundRun, createSession } from "../runtime/index.js";
import type { Session, SessionOptions, Tensor } from "../runtime/types.js";

/** Threads a model may use: what was asked for, or all cores. */
export function sharedThreads(threads: number | undefined): number {
  return threads ?? availableParallelism();
}

/** Lanes run on libuv's thread pool, which has four threads. */
const MAX_LANES = 4;
/** Every lane but the first has a gradient arena of its own: above this they share the work inside each operation. */
const MAX_LANE_GRADIENT_BYTES = 512 * 1024 * 1024;

/** How many micro-batches run side by side, each on one core. */
export function planLaneCount(threads: number, gradientBytes: number): number {
  return threads <= MAX_LANES && (threads - 1) * gradientBytes <= MAX_LANE_GRADIENT_BYTES ? threads : 1;
}

/** Sessions by name, made when first needed and shared by all lanes. */
export class Sessions {
  private readonly sessions = new Map<string, Session>();
  /** Whether a run has its thread for itself, or splits its operations over all cores. */
  parallelism: NonNullable<SessionOptions["parallelism"]> = "caller";

  constructor(private readonly threads: number) {}

  get(name: string, part: () => Subgraph): Session {
    const { threads, parallelism } = this;
    const key = `${name} on ${parallelism}`;
    let session = this.sessions.get(key);
    if (!session) {
      // The graphs are written as they should run. ONNX Runtime's rewriting would even undo a choice: it folds the
      // transposes of weight gradients into their products, which makes those slower.
      session = createSession(serialiseModel(part()), {
        threads,
        parallelism,
        graphOptimization: "disabled",
        memoryPlan: false,
        sharedArena: true,
        name,
      });
      this.sessions.set(key, session);
    }
    return session;
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
    this.sessions.clear();
  }
}

/** Runs bound to their buffers, kept for the batch shapes that come again. */
export class BoundRuns {
  private readonly runs = new Map<string, { readonly session: Session; readonly run: BoundRun }>();
  private generation = -1;

  constructor(private readonly limit = 32) {}

  /**
   * @param generation of the buffers: a change drops what was bound to older ones
   * @param tensors called on a miss, with the session's input and output names in mind
   */
  get(
    key: string,
    generation: () => number,
    session: Session,
    tensors: () => { feeds: Readonly<Record<string, Tensor>>; fetches: Readonly<Record<string, Tensor>> },
  ): BoundRun {
    const known = this.generation === generation() ? this.runs.get(key) : undefined;
    if (known?.session === session) return known.run;
    const { feeds, fetches } = tensors();
    if (this.generation !== generation()) {
      this.clear();
      this.generation = generation();
    }
    known?.run.close();
    if (!known && this.runs.size >= this.limit) {
      const [oldest, { run }] = this.runs.entries().next().value!;
      run.close();
      this.runs.delete(oldest);
    }
    const run = session.bind(pick(feeds, session.inputNames), pick(fetches, session.outputNames));
    this.runs.set(key, { session, run });
    return run;
  }

  clear(): void {
    for (const { run } of this.runs.values()) run.close();
    this.runs.clear();
  }
}

function pick(tensors: Readonly<Record<string, Tensor>>, names: readonly string[]): Record<string, Tensor> {
  return Object.fromEntries(names.map((name) => [name, tensors[name]!]));
}

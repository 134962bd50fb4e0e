/** Wall time by phase. */

export type Phase = "sample" | "reward" | "critique" | "refine" | "reference" | "update";

export class Stopwatch {
  readonly #seconds = new Map<Phase, number>();
  readonly #onPhase: (phase: Phase) => void;

  constructor(onPhase: (phase: Phase) => void = () => {}) {
    this.#onPhase = onPhase;
  }

  /** Runs the work and adds its time to the phase. Phases must not be nested. */
  async time<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
    this.#onPhase(phase);
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.#seconds.set(phase, this.seconds(phase) + (performance.now() - start) / 1000);
    }
  }

  seconds(phase: Phase): number {
    return this.#seconds.get(phase) ?? 0;
  }
}

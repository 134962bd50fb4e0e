/** What critics of one kind said, added up over a run in bounded memory. */
import type { CriticRow } from "@critique-grpo/dashboard";
import type { RolloutRecord } from "../../run/records.js";

/** Latencies are kept in classes a twentieth wide: quantiles are right to 5 %. */
const LATENCY_BASE = 1.05;

class LatencyHistogram {
  readonly #classes = new Map<number, number>();
  #count = 0;
  #sum = 0;
  #max = 0;

  add(milliseconds: number): void {
    const key = Math.ceil(Math.log(Math.max(milliseconds, 1)) / Math.log(LATENCY_BASE));
    this.#classes.set(key, (this.#classes.get(key) ?? 0) + 1);
    this.#count++;
    this.#sum += milliseconds;
    this.#max = Math.max(this.#max, milliseconds);
  }

  summary(): CriticRow["latencyMs"] {
    if (this.#count === 0) return null;
    return {
      mean: this.#sum / this.#count,
      median: this.#quantile(0.5),
      p95: this.#quantile(0.95),
      max: this.#max,
    };
  }

  #quantile(fraction: number): number {
    let seen = 0;
    for (const key of [...this.#classes.keys()].sort((a, b) => a - b)) {
      seen += this.#classes.get(key)!;
      if (seen >= fraction * this.#count) return Math.min(this.#max, LATENCY_BASE ** key);
    }
    return this.#max;
  }
}

class KindTally {
  critiques = 0;
  failures = 0;
  characters = 0;
  judged = 0;
  bothRight = 0;
  bothWrong = 0;
  onlyCriticRight = 0;
  onlyVerifierRight = 0;
  leakChecked = 0;
  leaks = 0;
  refinedWrong = 0;
  fixed = 0;
  readonly latency = new LatencyHistogram();
  tokens: number | null = null;
  cost: number | null = null;

  row(kind: string): CriticRow {
    const { bothRight, bothWrong, onlyCriticRight, onlyVerifierRight } = this;
    const { critiques, failures, refinedWrong, fixed, tokens, cost } = this;
    return {
      kind,
      critiques,
      failures,
      meanCharacters: critiques === 0 ? 0 : this.characters / critiques,
      verdicts: this.judged === 0 ? null : { bothRight, bothWrong, onlyCriticRight, onlyVerifierRight },
      leaks: this.leakChecked === 0 ? null : this.leaks,
      refinedWrong,
      fixed,
      latencyMs: this.latency.summary(),
      tokens,
      cost,
    };
  }
}

export class CriticTally {
  readonly #kinds = new Map<string, KindTally>();

  add({ initial, refinements }: RolloutRecord): void {
    for (const { index, critique, reward } of initial) {
      if (critique === undefined) continue;
      const tally = this.#of(critique.kind);
      tally.critiques++;
      tally.characters += critique.text.length;
      if (critique.failure !== undefined) tally.failures++;
      if (critique.verdict === "right" || critique.verdict === "wrong") {
        tally.judged++;
        if (critique.verdict === "right") tally[reward.correct ? "bothRight" : "onlyCriticRight"]++;
        else tally[reward.correct ? "onlyVerifierRight" : "bothWrong"]++;
      }
      if (critique.leak !== undefined) {
        tally.leakChecked++;
        if (critique.leak) tally.leaks++;
      }
      if (critique.latencyMs !== undefined) tally.latency.add(critique.latencyMs);
      if (critique.tokens !== undefined) {
        tally.tokens = (tally.tokens ?? 0) + critique.tokens.prompt + critique.tokens.completion;
      }
      if (critique.cost !== undefined) tally.cost = (tally.cost ?? 0) + critique.cost;
      if (reward.correct) continue;
      for (const refinement of refinements) {
        if (refinement.refines !== index) continue;
        tally.refinedWrong++;
        if (refinement.reward.correct) tally.fixed++;
      }
    }
  }

  rows(): CriticRow[] {
    return [...this.#kinds].map(([kind, tally]) => tally.row(kind)).sort((a, b) => b.critiques - a.critiques);
  }

  #of(kind: string): KindTally {
    let tally = this.#kinds.get(kind);
    if (tally === undefined) {
      tally = new KindTally();
      this.#kinds.set(kind, tally);
    }
    return tally;
  }
}

/** The results of the study, and the numbers that tables and claims are made of. */
import { type Estimate, tInterval } from "critique-grpo";
import type { CellResult } from "../cell.js";
import type { FamilyName } from "../family.js";

/** A number of a result; null where there was nothing to count. */
export type Measure = (result: CellResult) => number | null;

export interface SampleEstimate extends Estimate {
  /** Seeds. */
  readonly n: number;
}

export class Evidence {
  readonly results: readonly CellResult[];

  constructor(results: readonly CellResult[]) {
    this.results = results;
  }

  /** Of a method in a family, by seed. */
  of(family: FamilyName, method: string): readonly CellResult[] {
    return this.results
      .filter((result) => result.family === family && result.method === method)
      .sort((a, b) => a.seed - b.seed);
  }

  /** One result a seed, whatever the method: for what holds of the warm-up. */
  seeds(family: FamilyName): readonly CellResult[] {
    const bySeed = new Map<number, CellResult>();
    for (const result of this.results) {
      if (result.family === family && !bySeed.has(result.seed)) bySeed.set(result.seed, result);
    }
    return [...bySeed.values()].sort((a, b) => a.seed - b.seed);
  }

  /** Seeds that have both methods. */
  pairs(family: FamilyName, method: string, other: string): readonly (readonly [CellResult, CellResult])[] {
    const others = this.of(family, other);
    return this.of(family, method).flatMap((result) => {
      const partner = others.find(({ seed }) => seed === result.seed);
      return partner ? [[result, partner] as const] : [];
    });
  }

  /** Mean of method − other over the seeds that have both: they start from the same model and questions. Null without any. */
  difference(family: FamilyName, method: string, other: string, measure: Measure): SampleEstimate | null {
    return estimate(
      this.pairs(family, method, other).map(([a, b]) => {
        const [left, right] = [measure(a), measure(b)];
        return left === null || right === null ? null : left - right;
      }),
    );
  }
}

/** Mean and 95 % t-interval over seeds; null if nothing was counted. */
export function estimate(values: readonly (number | null)[]): SampleEstimate | null {
  const counted = values.filter((value) => value !== null);
  return counted.length === 0 ? null : { ...tInterval(counted), n: counted.length };
}

/** Held-out accuracy when as many tokens had been sampled, by linear interpolation of the learning curve; null before that. */
export function greedyAtTokens(result: CellResult, tokens: number): number | null {
  const { curve } = result;
  const after = curve.findIndex((point) => point.sampledTokens >= tokens);
  if (after < 0) return null;
  const [a, b] = [curve[after - 1], curve[after]!];
  if (a === undefined || b.sampledTokens === a.sampledTokens) return b.greedy;
  return a.greedy + ((tokens - a.sampledTokens) / (b.sampledTokens - a.sampledTokens)) * (b.greedy - a.greedy);
}

export const greedy: Measure = ({ after }) => after.heldOut.greedy;
export const pass1: Measure = ({ after }) => after.heldOut.pass1;
export const pass8: Measure = ({ after }) => after.heldOut.pass8;

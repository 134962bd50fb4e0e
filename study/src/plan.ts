/** Which cells are run, in which order. */
import type { Cell } from "./cell.js";
import { families } from "./families/index.js";
import { FAMILY_NAMES, type Family } from "./family.js";
import { METHOD_GROUPS, type MethodGroup, methodsOf } from "./methods.js";

/** Never used to choose a setting: those were chosen on seed 0. */
export const SEEDS: readonly number[] = [101, 102, 103, 104, 105];
/** What `--quick` runs: every main method on one seed of the cheaper family. */
const QUICK = { seed: 1, family: families.operations } as const;

/**
 * Every cell, the most telling first: main methods on all seeds, then baselines, guards and ablations, then sensitivities.
 * Within a group seeds come in turn, so that a study that was stopped has as many seeds of each method as possible.
 */
export function studyCells(): Cell[] {
  return METHOD_GROUPS.flatMap((group) =>
    SEEDS.flatMap((seed) => FAMILY_NAMES.flatMap((name) => cellsOf(families[name], group, seed))),
  );
}

export function quickCells(): Cell[] {
  return cellsOf(QUICK.family, "main", QUICK.seed);
}

function cellsOf(family: Family, group: MethodGroup, seed: number): Cell[] {
  return methodsOf(family)
    .filter((method) => method.group === group)
    .map((method) => ({ family, method, seed }));
}

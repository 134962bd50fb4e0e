/** Which cells are run, in which order. */
import type { Cell } from "./cell.js";
import { families } from "./families/index.js";
import { FAMILY_NAMES, type Family, type FamilyName } from "./family.js";
import { METHOD_GROUPS, type MethodGroup, methodsOf } from "./methods.js";

/** Never used to choose a setting: those were chosen on seed 0. */
const SEEDS: readonly number[] = [101, 102, 103, 104, 105];
/** Run beside them where the warm-up of one did not converge, which the report tells. */
const SPARE_SEEDS: Readonly<Record<FamilyName, readonly number[]>> = { "carry-addition": [], operations: [106] };

export function seedsOf(family: FamilyName): readonly number[] {
  return [...SEEDS, ...SPARE_SEEDS[family]];
}
/** What `--quick` runs: every main method on one seed of the cheaper family. */
const QUICK = { seed: 1, family: families.operations } as const;

/**
 * Every cell, the most telling first: main methods on all seeds, then baselines, guards and ablations, then sensitivities.
 * Within a group seeds come in turn, so that a study that was stopped has as many seeds of each method as possible.
 */
export function studyCells(): Cell[] {
  const allSeeds = [...new Set(FAMILY_NAMES.flatMap(seedsOf))].sort((a, b) => a - b);
  return METHOD_GROUPS.flatMap((group) =>
    allSeeds.flatMap((seed) =>
      FAMILY_NAMES.filter((name) => seedsOf(name).includes(seed)).flatMap((name) =>
        cellsOf(families[name], group, seed),
      ),
    ),
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

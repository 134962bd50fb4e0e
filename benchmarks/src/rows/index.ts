import { generationRows } from "./generation.js";
import { stepRows } from "./steps.js";
import { trainingRows } from "./training.js";
import type { BenchmarkRow } from "./types.js";

export type { BenchmarkRow, SideProgram } from "./types.js";

/** Rows that are measured together, in the order of the table: `--rows` names a group. */
export const rowGroups = {
  training: trainingRows,
  generation: generationRows,
  steps: stepRows,
} as const satisfies Readonly<Record<string, readonly BenchmarkRow[]>>;

export type RowGroup = keyof typeof rowGroups;

export const allRows: readonly BenchmarkRow[] = Object.values(rowGroups).flat();

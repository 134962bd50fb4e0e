/**
 * The words of the critic: six characters. Verdict (`X` wrong, `V` right), kind (`T` step by step, `G` ground truth), then
 * four places, units first. Step by step: the digit that belongs there under each wrong column, `_` under a right one. Ground
 * truth, also said of right responses: all four digits.
 *
 *     question 4872+9351:   response 3123=3213   critique XT_234
 */
import { COLUMNS, type Columns } from "./task.js";

export type CritiqueStyle = "step-by-step" | "ground-truth";

/**
 * @param written the columns of the response; null if it has not the format, then the critic only says so
 * @param right what the columns should be
 */
export function writeCritique(written: Columns | null, right: Columns, correct: boolean, style: CritiqueStyle): string {
  if (!correct && style === "step-by-step") {
    if (written === null) return `X${"_".repeat(COLUMNS + 1)}`;
    return `XT${right.map((digit, column) => (written[column] === digit ? "_" : digit)).join("")}`;
  }
  return `${correct ? "V" : "X"}G${right.join("")}`;
}

/** Which refinements enter the training group. */

export interface Scored {
  readonly reward: { readonly value: number; readonly correct: boolean };
}

/**
 * The k refinements to keep: correct ones first, in order; then, unless `onlyCorrect`, the best scored of the rest (the
 * earlier one of equals). The result is in the order of that preference.
 */
export function selectRefinements<R extends Scored>(refinements: readonly R[], k: number, onlyCorrect = false): R[] {
  const correct = refinements.filter((refinement) => refinement.reward.correct);
  if (correct.length >= k || onlyCorrect) return correct.slice(0, k);
  const rest = refinements.filter((refinement) => !refinement.reward.correct);
  // Array.prototype.sort is stable: equals stay in order.
  rest.sort((a, b) => b.reward.value - a.reward.value);
  return [...correct, ...rest].slice(0, k);
}

/** Whether no further refinement can change what `selectRefinements` returns. */
export function selectionIsSettled(refinements: readonly Scored[], k: number): boolean {
  let correct = 0;
  for (const refinement of refinements) if (refinement.reward.correct) correct++;
  return correct >= k;
}

/** Which refinements enter the training group. */

/** `best`: right ones first; `first`, `random`: the first in the order in which responses are refined, whatever their reward. */
export type SelectionMode = "best" | "first" | "random";

/** The keys of `refinement` that decide. */
export interface SelectionSettings {
  readonly selection: SelectionMode;
  /** k. */
  readonly count: number;
  /** Wrong ones of the k are left out. */
  readonly onlyCorrect: boolean;
}

export interface Scored {
  readonly reward: { readonly value: number; readonly correct: boolean };
}

/**
 * The k refinements to keep. `best`: correct ones in order, then the best scored of the rest (the earlier one of equals);
 * else the first k. The result is in the order of that preference.
 */
export function selectRefinements<R extends Scored>(refinements: readonly R[], settings: SelectionSettings): R[] {
  const { selection, count, onlyCorrect } = settings;
  const kept = inOrderOfPreference(refinements, selection).slice(0, count);
  return onlyCorrect ? kept.filter((refinement) => refinement.reward.correct) : kept;
}

function inOrderOfPreference<R extends Scored>(refinements: readonly R[], selection: SelectionMode): R[] {
  switch (selection) {
    case "best": {
      const correct = refinements.filter((refinement) => refinement.reward.correct);
      const rest = refinements.filter((refinement) => !refinement.reward.correct);
      // Array.prototype.sort is stable: equals stay in order.
      rest.sort((a, b) => b.reward.value - a.reward.value);
      return [...correct, ...rest];
    }
    case "first":
    case "random":
      return [...refinements];
    default:
      throw new RangeError(`Unknown selection ${String(selection satisfies never)}`);
  }
}

/** Whether no further refinement can change what `selectRefinements` returns. */
export function selectionIsSettled(
  refinements: readonly Scored[],
  { selection, count }: Omit<SelectionSettings, "onlyCorrect">,
): boolean {
  if (selection !== "best") return refinements.length >= count;
  let correct = 0;
  for (const refinement of refinements) if (refinement.reward.correct) correct++;
  return correct >= count;
}

/** The same deterministic tokens as peers/training.py, so that both sides must report the same first loss. */
export function trainingToken(row: number, column: number, vocabularySize: number): number {
  return (row * 7919 + column * 104729 + row * column * 31) % vocabularySize;
}

/** The prompts of peers/grpo_step.py (ids 0 and 1 are its padding and end-of-sequence tokens). */
export function grpoPrompt(row: number, length: number, vocabularySize: number): number[] {
  return Array.from({ length }, (_, column) => 2 + ((row * 37 + column * 101) % (vocabularySize - 2)));
}

/**
 * Tokens of a completion, the end-of-sequence token included, in the rows with random lengths: 1 to `longest`, uniform.
 * The same as in peers/grpo_step.py (a step of Knuth's multiplicative hash, so that both sides draw the same).
 */
export function completionLength(index: number, longest: number): number {
  const hash = Math.imul(index + 1, 0x9e3779b1) >>> 0;
  return 1 + Math.floor((hash / 2 ** 32) * longest);
}

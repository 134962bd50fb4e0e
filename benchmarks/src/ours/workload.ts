/** The same deterministic tokens as peers/training.py, so that both sides must report the same first loss. */
export function trainingToken(row: number, column: number, vocabularySize: number): number {
  return (row * 7919 + column * 104729 + row * column * 31) % vocabularySize;
}

/** The prompts of peers/grpo_step.py (ids 0 and 1 are its padding and end-of-sequence tokens). */
export function grpoPrompt(row: number, length: number, vocabularySize: number): number[] {
  return Array.from({ length }, (_, column) => 2 + ((row * 37 + column * 101) % (vocabularySize - 2)));
}

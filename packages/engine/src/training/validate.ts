import type { AdamWOptions, ForwardBackwardOptions, TokenSequence } from "../types.js";

/** Throws a readable error for sequences the network cannot run: empty prompts, foreign ids, too many tokens. */
export function validateSequences(
  sequences: readonly TokenSequence[],
  limits: { readonly vocabularySize: number; readonly contextLength: number },
): void {
  for (const [index, { prompt, response }] of sequences.entries()) {
    if (prompt.length === 0) throw new Error(`sequences[${index}].prompt is empty; it needs at least one token.`);
    const length = prompt.length + response.length;
    if (length > limits.contextLength)
      throw new Error(
        `sequences[${index}] has ${prompt.length} prompt and ${response.length} response tokens; the context holds ${limits.contextLength}.`,
      );
    for (const [part, tokens] of [
      ["prompt", prompt],
      ["response", response],
    ] as const)
      for (let position = 0; position < tokens.length; position++) {
        const token = tokens[position]!;
        if (!Number.isInteger(token) || token < 0 || token >= limits.vocabularySize)
          throw new Error(
            `sequences[${index}].${part}[${position}] is ${token}; token ids are integers from 0 to ${limits.vocabularySize - 1}.`,
          );
      }
  }
}

export function validateForwardBackwardOptions({
  temperature = 1,
  microBatchTokens = 1,
}: ForwardBackwardOptions): void {
  if (!(temperature > 0 && Number.isFinite(temperature)))
    throw new Error(
      `temperature is ${temperature}; it must be a positive number (log-probabilities at 0 do not exist).`,
    );
  if (!(microBatchTokens >= 1)) throw new Error(`microBatchTokens is ${microBatchTokens}; it must be at least 1.`);
}

export function validateAdamWOptions(options: AdamWOptions): void {
  const inRange: Readonly<Record<keyof AdamWOptions, (value: number) => boolean>> = {
    learningRate: (value) => value >= 0,
    beta1: (value) => value >= 0 && value < 1,
    beta2: (value) => value >= 0 && value < 1,
    epsilon: (value) => value >= 0,
    weightDecay: (value) => value >= 0,
    maxGradNorm: (value) => value >= 0,
  };
  for (const [key, valid] of Object.entries(inRange)) {
    const value = options[key as keyof AdamWOptions];
    if (!Number.isFinite(value) || !valid(value))
      throw new Error(
        `${key} is ${value}; it must be a finite number of at least 0${key.startsWith("beta") ? " and below 1" : ""}.`,
      );
  }
}

import type { SampleRequest } from "../types.js";
import { assertSeed } from "./random.js";

/**
 * Checks requests before any work starts.
 * @throws RangeError that names the request, the value and what would be right.
 */
export function validateRequests(
  requests: readonly SampleRequest[],
  limits: { readonly vocabularySize: number; readonly contextLength: number },
): void {
  for (const [index, request] of requests.entries()) {
    try {
      validateRequest(request, limits);
    } catch (error) {
      throw new RangeError(`Request ${index}: ${(error as Error).message}`, { cause: error });
    }
  }
}

function validateRequest(
  { prompt, count, maxTokens, temperature, topK = 0, topP = 1, stopTokens, seed }: SampleRequest,
  { vocabularySize, contextLength }: { readonly vocabularySize: number; readonly contextLength: number },
): void {
  const isToken = (id: number) => Number.isSafeInteger(id) && id >= 0 && id < vocabularySize;
  if (prompt.length === 0) throw new RangeError("the prompt is empty; it needs at least one token");
  const wrong = prompt.findIndex((id) => !isToken(id));
  if (wrong >= 0) {
    throw new RangeError(`prompt token ${wrong} is ${prompt[wrong]}; token ids are 0 to ${vocabularySize - 1}`);
  }
  wholeNumber("count", count, 1);
  wholeNumber("maxTokens", maxTokens, 1);
  wholeNumber("topK", topK, 0);
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new RangeError(`temperature is ${temperature}; it must be 0 (greedy) or above`);
  }
  if (temperature > 0 && !(1 / temperature < 1e6)) {
    throw new RangeError(`temperature ${temperature} is too close to 0; use 0 for greedy decoding`);
  }
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`topP is ${topP}; it must be above 0 and at most 1`);
  for (const id of stopTokens) {
    if (!isToken(id)) throw new RangeError(`stop token ${id} is not a token id; those are 0 to ${vocabularySize - 1}`);
  }
  assertSeed(seed);
  if (prompt.length + maxTokens > contextLength) {
    throw new RangeError(
      `a prompt of ${prompt.length} tokens and ${maxTokens} new tokens do not fit into the context of ${contextLength}; ` +
        "shorten the prompt or lower maxTokens",
    );
  }
}

function wholeNumber(name: string, value: number, minimum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new RangeError(`${name} is ${value}; it must be a whole number of at least ${minimum}`);
  }
}

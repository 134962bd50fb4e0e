/** The task: "a,b:M,n" asks for n more numbers of the sequence a, b with constant difference modulo M. */

/** The answer without the end token, e.g. "3,8:10,2" → "3,8" (difference 5 modulo 10). */
export function expectedAnswer(prompt: string): string {
  const match = /^(\d+),(\d+):(\d+),(\d+)$/.exec(prompt);
  if (match === null) throw new Error(`not a prompt of this task: ${JSON.stringify(prompt)}`);
  const [first, second, modulus, count] = match.slice(1).map(Number) as [number, number, number, number];
  const difference = (((second - first) % modulus) + modulus) % modulus;
  const numbers: number[] = [];
  for (let i = 0, last = second; i < count; i++) {
    last = (last + difference) % modulus;
    numbers.push(last);
  }
  return numbers.join(",");
}

/** Special tokens by id, then one character an id: verl's CharTokenizer. */
export const SPECIAL_TOKENS = ["S", "E", "P", "U"] as const;
export const CHARACTERS = "0123456789,:";
/** Ends a prompt, ends a response. */
export const SEPARATOR = "S";
export const END = "E";
export const END_TOKEN = tokenOf(END);

export function tokenOf(character: string): number {
  const special = (SPECIAL_TOKENS as readonly string[]).indexOf(character);
  return special >= 0 ? special : SPECIAL_TOKENS.length + CHARACTERS.indexOf(character);
}

/** Token ids of the right response, the end token included. */
export function expectedTokens(prompt: string): number[] {
  return [...expectedAnswer(prompt), END].map(tokenOf);
}

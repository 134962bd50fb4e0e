/** Critiques that do not fit the context are cut. */

/** Fewer characters than this tell nothing: the response is left unrefined. */
const LEAST_CHARACTERS = 40;
/** Stands at the end of a critique that was cut. */
export const CUT_MARK = " [cut]";

/**
 * The longest beginning of a critique with which a prompt can be made, `mark` after it; null if there is none of any
 * use. The caller has found that the whole critique does not fit.
 * @param make the prompt around a critique; null if it is too long
 */
export function cutToFit<P>(
  critique: string,
  mark: string,
  make: (critique: string) => P | null,
): { text: string; prompt: P } | null {
  const attempt = (characters: number) => {
    const text = `${beginning(critique, characters)}${mark}`;
    const prompt = make(text);
    return prompt === null ? null : { text, prompt };
  };
  let best: { text: string; prompt: P } | null = null;
  let [low, high] = [LEAST_CHARACTERS, critique.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const fitted = attempt(middle);
    if (fitted === null) high = middle - 1;
    else {
      best = fitted;
      low = middle + 1;
    }
  }
  return best;
}

/** Not in the middle of a surrogate pair. */
function beginning(text: string, characters: number): string {
  const last = text.charCodeAt(characters - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? characters - 1 : characters);
}

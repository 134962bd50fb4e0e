/** What a language model's critique says, and where it ends. */

const END = "[END]";
const THOUGHT_END = "</think>";
/** "Conclusion: right", "**Conclusion**: wrong", "Conclusion: the answer is incorrect"; bounded, so linear. */
const VERDICT =
  /^conclusion[*_:\s]{1,12}(?:the (?:student's )?(?:answer|solution) is )?[*_"'`]{0,3}(right|wrong|correct|incorrect)\b(?!\s{0,2}\/)/i;

/** The critique without the thoughts before it and without what the model wrote after [END]; may be empty. */
export function trimCritique(text: string): string {
  const thought = text.lastIndexOf(THOUGHT_END);
  const said =
    thought >= 0 ? text.slice(thought + THOUGHT_END.length) : text.trimStart().startsWith("<think>") ? "" : text;
  const end = said.indexOf(END);
  return (end < 0 ? said : said.slice(0, end + END.length)).trim();
}

/** The last verdict line of a critique; null if it has none. "right/wrong", copied from the prompt, is none. */
export function parseVerdict(critique: string): "right" | "wrong" | null {
  const lower = critique.toLowerCase();
  for (
    let at = lower.lastIndexOf("conclusion");
    at >= 0;
    at = at === 0 ? -1 : lower.lastIndexOf("conclusion", at - 1)
  ) {
    const match = VERDICT.exec(critique.slice(at, at + 80));
    if (match === null) continue;
    return /^(right|correct)$/i.test(match[1]!) ? "right" : "wrong";
  }
  return null;
}

import { endsValue, isLetter, pushLetter, type Token } from "./token.js";
import { FUNCTIONS, UNITS, WORDS_NEEDING_PARENTHESES } from "./vocabulary.js";

/** Scans a run of letters: a function, a constant, a connective, a unit, or letters multiplied. */
export function scanWord(text: string, from: number, tokens: Token[]): number {
  let end = from + 1;
  while (isLetter(text.charCodeAt(end))) end++;
  let word = text.slice(from, end);
  const previous = tokens[tokens.length - 1];
  if (word.length > 2 && endsValue(previous)) {
    // "x=1orW=2": a connective glued to what follows.
    const glued = /^(?:or|and)(?=[A-Z])/.exec(word)?.[0];
    if (glued !== undefined) {
      word = glued;
      end = from + glued.length;
    }
  }
  if (word.length === 1) {
    if (word === "x" && previous?.type === "number" && /^x\s*10\s*(?:\^|\*\*)/.test(text.slice(from, from + 12))) {
      tokens.push({ type: "mark", text: "*", at: from });
    } else pushLetter(tokens, word, from);
    return end;
  }
  const lower = word.toLowerCase();
  if (word === "and" || word === "or") tokens.push({ type: "mark", text: word, at: from });
  else if (lower === "percent" || lower === "percentage" || lower === "pct")
    tokens.push({ type: "mark", text: "%", at: from });
  else if (lower === "infinity" || lower === "inf" || word === "oo")
    tokens.push({ type: "constant", text: "infinity", at: from });
  else if (word === "pi" || word === "Pi") tokens.push({ type: "constant", text: "pi", at: from });
  else if (word === "sqrt" || word === "frac") tokens.push({ type: "command", text: word, at: from });
  else if (word === "np" && text[end] === ".") return end + 1;
  else if (lower === "degrees" || lower === "degree" || lower === "deg")
    tokens.push({ type: "mark", text: "degrees", at: from });
  else if (
    UNITS.has(word) &&
    endsValue(previous) &&
    !(FUNCTIONS[word] !== undefined && /^\s*[(\\]/.test(text.slice(end)))
  ) {
    tokens.push({ type: "unit", text: word, at: from });
  } else if (
    FUNCTIONS[word] !== undefined &&
    (!WORDS_NEEDING_PARENTHESES.has(word) || /^\s*\(/.test(text.slice(end, end + 8))) &&
    !/^\s*$/.test(text.slice(end, end + 8))
  ) {
    tokens.push({ type: "function", text: FUNCTIONS[word], at: from });
  } else if (/^a(?:rc)?(?:sin|cos|tan)[a-z]$/.test(word) || /^(?:sin|cos|tan|ln|log)[a-z]$/.test(word)) {
    const name = word.slice(0, -1);
    tokens.push({ type: "function", text: FUNCTIONS[name]!, at: from });
    pushLetter(tokens, word.slice(-1), end - 1);
  } else if (
    word.length >= 4 &&
    previous?.type === "number" &&
    /^[a-z]+$/.test(word) &&
    /^[\s.]*$/.test(text.slice(end))
  ) {
    // A count of things: "12 monkeys".
    tokens.push({ type: "unit", text: word, at: from });
  } else {
    for (let index = from; index < end; index++) pushLetter(tokens, text[index]!, index);
  }
  return end;
}

import { scanCommand } from "./commands.js";
import { scanWord } from "./names.js";
import { ParseFailure, type RelationOperator } from "./nodes.js";
import { scanNumber } from "./numbers.js";
import { isDigit, isLetter, MAX_ANSWER_LENGTH, type Token, type TokenOptions } from "./token.js";

/** Splits normalised LaTeX (or plain mathematics) into tokens. Linear; throws ParseFailure. */
export function tokenize(text: string, options: TokenOptions): Token[] {
  if (text.length > MAX_ANSWER_LENGTH) throw new ParseFailure(`longer than ${MAX_ANSWER_LENGTH} characters`, 0);
  const tokens: Token[] = [];
  // Open brackets; a group that belongs to a command is "g", every other bracket "b".
  const open: string[] = [];
  let at = 0;
  const mark = (value: string, length: number): void => {
    tokens.push({ type: "mark", text: value, at });
    at += length;
  };
  while (at < text.length) {
    const code = text.charCodeAt(at);
    const character = text[at]!;
    if (code <= 32 || character === "~" || character === "$" || character === "\u00a0") {
      at++;
    } else if (isDigit(code) || (character === "." && isDigit(text.charCodeAt(at + 1)))) {
      const number = scanNumber(text, at, options, open.length > 0 && open[open.length - 1] === "b");
      if (number === null) throw new ParseFailure("number too large", at);
      tokens.push({ type: "number", text: number.text, value: number.value, decimal: number.decimal, at });
      at = number.end;
    } else if (isLetter(code)) {
      at = scanWord(text, at, tokens);
    } else if (character === "\\") {
      at = scanCommand(text, at, tokens, open);
    } else if (character === "{") {
      const last = tokens[tokens.length - 1];
      const belongs =
        last !== undefined &&
        (last.type === "command" ||
          last.type === "function" ||
          (last.type === "mark" && (last.text === "^" || last.text === "_" || last.text === "}")));
      open.push(belongs ? "g" : "b");
      mark(character, 1);
    } else if (character === "}") {
      open.pop();
      mark(character, 1);
    } else if (character === "(" || character === "[") {
      open.push("b");
      mark(character, 1);
    } else if (character === ")" || character === "]") {
      open.pop();
      mark(character, 1);
    } else if (character === "<" || character === ">" || character === "=" || character === "!") {
      at = scanComparison(text, at, tokens);
    } else if (character === "*" && text[at + 1] === "*") {
      mark("^", 2);
    } else if ("+-*/^_,;:|&%'".includes(character)) {
      mark(character, 1);
    } else if (character === '"' || character === "`" || character === "?" || character === "#") {
      at++;
    } else if (character === "." && /^\.[\s.]*$/.test(text.slice(at))) {
      break;
    } else if (/\p{Sc}/u.test(character)) {
      at++;
    } else if (/\p{L}/u.test(character)) {
      tokens.push({ type: "letter", text: character, at });
      at++;
    } else {
      throw new ParseFailure(`unexpected ${JSON.stringify(character)}`, at);
    }
  }
  return tokens;
}

function scanComparison(text: string, at: number, tokens: Token[]): number {
  const pair = text.slice(at, at + 2);
  const relation = ((): RelationOperator | null => {
    if (pair === "<=" || pair === "=<") return "<=";
    if (pair === ">=" || pair === "=>") return ">=";
    if (pair === "!=") return "!=";
    if (pair === "==") return "=";
    return null;
  })();
  if (relation !== null) {
    tokens.push({ type: "relation", text: relation, at });
    return at + 2;
  }
  const character = text[at] as "<" | ">" | "=" | "!";
  tokens.push(character === "!" ? { type: "mark", text: "!", at } : { type: "relation", text: character, at });
  return at + 1;
}

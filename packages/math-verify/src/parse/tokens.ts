import { fromDecimal, type Rational } from "../evaluate/rational.js";
import { type FunctionName, ParseFailure, type RelationOperator } from "./nodes.js";
import {
  FUNCTIONS,
  GREEK,
  IGNORED_COMMANDS,
  RELATIONS,
  TEXT_COMMANDS,
  TYPEFACES,
  UNITS,
  WORDS_NEEDING_PARENTHESES,
} from "./vocabulary.js";

export type Token =
  | {
      readonly type: "number";
      readonly text: string;
      readonly value: Rational;
      readonly decimal: boolean;
      readonly at: number;
    }
  | { readonly type: "letter"; readonly text: string; readonly at: number }
  | { readonly type: "constant"; readonly text: "pi" | "e" | "i" | "infinity"; readonly at: number }
  | { readonly type: "function"; readonly text: FunctionName; readonly at: number }
  | { readonly type: "command"; readonly text: string; readonly at: number }
  | { readonly type: "text"; readonly text: string; readonly at: number }
  | { readonly type: "unit"; readonly text: string; readonly at: number }
  | { readonly type: "relation"; readonly text: RelationOperator; readonly at: number }
  | { readonly type: "mark"; readonly text: string; readonly at: number }
  | { readonly type: "begin" | "end"; readonly text: string; readonly at: number };

/** How ambiguous commas and spaces between digits are read. */
export interface TokenOptions {
  /** `1,234` outside brackets is one number; otherwise two. */
  readonly mergeThousands: boolean;
  /** `1,5` is one and a half. */
  readonly decimalComma: boolean;
}

/** Longest text that is tried as one answer, in characters. */
export const MAX_ANSWER_LENGTH = 8192;

const SPACES_AFTER_SEPARATOR = /^(?:\{,\}|\\,|,\\!|\\!|,)\s*/;
const EXPONENT =
  /^(?:[eE]|\\(?:mathrm|text|rm|textrm)\s*\{\s*[eE]\s*\})\s*(?:\{\s*([+-]?\d{1,6})\s*\}|\{\s*([+-])\s*\}\s*(\d{1,6})|([+-]?)\s*(\d{1,6}))(?![\d.]*[a-zA-Z_^])/;
const NUMBER_COMMAND = /^\\num\s*\{\s*([+-]?)([\d.]+)(?:[eE]([+-]?\d+))?\s*\}/;

interface NumberMatch {
  readonly text: string;
  readonly end: number;
  readonly value: Rational;
  readonly decimal: boolean;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

function digitsEnd(text: string, from: number): number {
  let at = from;
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

/** End of a run of three-digit groups written after `from`, all with the same separator. */
function groupsEnd(text: string, from: number, plainComma: boolean): { end: number; digits: string } {
  let at = from;
  let digits = "";
  let separator = "";
  for (;;) {
    const next = text[at];
    if (next !== "," && next !== "{" && next !== "\\" && next !== " ") break;
    let mark: string;
    let start: number;
    if (next === " ") {
      mark = " ";
      start = at + 1;
    } else {
      const match = SPACES_AFTER_SEPARATOR.exec(text.slice(at, at + 12));
      if (match === null) break;
      mark = match[0].trim();
      // "32, 349" is a list: a plain comma joins only without a space.
      if (mark === "," && (!plainComma || match[0].length > 1)) break;
      start = at + match[0].length;
    }
    if (separator !== "" && separator !== mark) break;
    const end = digitsEnd(text, start);
    if (end - start !== 3) break;
    separator = mark;
    digits += text.slice(start, end);
    at = end;
  }
  return { end: at, digits };
}

function scanNumber(text: string, from: number, options: TokenOptions, insideBrackets: boolean): NumberMatch | null {
  let end = digitsEnd(text, from);
  let integer = text.slice(from, end);
  let fraction = "";
  let decimal = false;
  if (integer.length >= 1 && integer.length <= 3 && integer[0] !== "0") {
    const groups = groupsEnd(text, end, options.mergeThousands && !insideBrackets);
    integer += groups.digits;
    end = groups.end;
  }
  const european =
    !insideBrackets && integer.length <= 3 ? /^((?:\.\d{3})+),(\d+)(?![\d,])/.exec(text.slice(end, end + 40)) : null;
  if (european !== null) {
    integer += european[1]!.replaceAll(".", "");
    fraction = european[2]!;
    end += european[0].length;
    decimal = true;
  } else if (text[end] === "." && isDigit(text.charCodeAt(end + 1))) {
    const stop = digitsEnd(text, end + 1);
    fraction = text.slice(end + 1, stop);
    end = stop;
    decimal = true;
  } else if (text[end] === "." && /^\.\s*[/*+\-^)]/.test(text.slice(end, end + 4))) {
    end++;
  } else if (text.startsWith("{,}", end) && isDigit(text.charCodeAt(end + 3))) {
    const stop = digitsEnd(text, end + 3);
    fraction = text.slice(end + 3, stop);
    end = stop;
    decimal = true;
  } else if (options.decimalComma && text[end] === "," && isDigit(text.charCodeAt(end + 1))) {
    const stop = digitsEnd(text, end + 1);
    fraction = text.slice(end + 1, stop);
    end = stop;
    decimal = true;
  }
  let exponent = 0;
  const next = text[end];
  if (next === "e" || next === "E" || next === "\\") {
    const match = EXPONENT.exec(text.slice(end, end + 48));
    if (match !== null) {
      exponent = Number(match[1] ?? `${match[2] ?? match[4] ?? ""}${match[3] ?? match[5] ?? ""}`);
      end += match[0].length;
      decimal = true;
    }
  }
  const value = fromDecimal(integer, fraction, exponent);
  return value === null ? null : { text: text.slice(from, end), end, value, decimal };
}

/** End of the group whose opening brace stands at `open`, or -1. */
export function groupEnd(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 92) at++;
    else if (code === 123) depth++;
    else if (code === 125 && --depth === 0) return at;
  }
  return -1;
}

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

function pushLetter(tokens: Token[], letter: string, at: number): void {
  if (letter === "e" || letter === "i") tokens.push({ type: "constant", text: letter, at });
  else tokens.push({ type: "letter", text: letter, at });
}

function endsValue(token: Token | undefined): boolean {
  if (token === undefined) return false;
  if (token.type === "number" || token.type === "constant" || token.type === "unit" || token.type === "letter")
    return true;
  return (
    token.type === "mark" &&
    (token.text === ")" || token.text === "}" || token.text === "]" || token.text === "%" || token.text === "\\}")
  );
}

function scanWord(text: string, from: number, tokens: Token[]): number {
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

/** Commands the parser itself interprets. */
const STRUCTURAL = new Set(
  (
    "frac dfrac tfrac cfrac sqrt binom dbinom tbinom sum prod int lim choose over overline hat vec bar mod bmod pmod log " +
    "Rightarrow implies iff Leftrightarrow longrightarrow Longrightarrow to rightarrow dots ldots cdots mid colon angle triangle measuredangle because therefore operatorname"
  ).split(" "),
);

function scanCommand(text: string, from: number, tokens: Token[], open: string[]): number {
  const next = text[from + 1] ?? "";
  if (!isLetter(next.charCodeAt(0))) return scanSymbolCommand(next, from, tokens, open);
  let end = from + 2;
  while (isLetter(text.charCodeAt(end))) end++;
  let name = text.slice(from + 1, end);
  // "\quadx" is \quad followed by x.
  if (name.length === 5 && name.startsWith("quad")) {
    name = "quad";
    end = from + 5;
  }
  const push = (type: "mark" | "command", value: string): number => {
    tokens.push({ type, text: value, at: from });
    return end;
  };
  if (name === "cdot" || name === "times" || name === "ast" || name === "bullet") return push("mark", "*");
  if (name === "div") return push("mark", "/");
  if (name === "infty") {
    tokens.push({ type: "constant", text: "infinity", at: from });
    return end;
  }
  if (name === "pi") {
    tokens.push({ type: "constant", text: "pi", at: from });
    return end;
  }
  if (name === "imath" || name === "jmath") {
    pushLetter(tokens, name[0]!, from);
    return end;
  }
  if (name === "pm" || name === "mp" || name === "cup" || name === "cap") return push("mark", `\\${name}`);
  if (name === "setminus" || name === "backslash" || name === "smallsetminus") return push("mark", "\\setminus");
  if (name === "land" || name === "wedge") return push("mark", "and");
  if (name === "lor" || name === "vee") return push("mark", "or");
  if (name === "not") return scanNegated(text, from, end, tokens);
  const relation = RELATIONS[name];
  if (relation !== undefined) {
    tokens.push({ type: "relation", text: relation, at: from });
    return end;
  }
  const bracket = BRACKET_COMMANDS[name];
  if (bracket !== undefined) {
    if (/^[lL]|langle/.test(name)) open.push("b");
    else open.pop();
    return push("mark", bracket);
  }
  if (name === "circ" || name === "degree") return push("mark", "degrees");
  if (name === "emptyset" || name === "varnothing") return push("command", "emptyset");
  if (name === "mathbb" || name === "Bbb") return scanNamedSet(text, from, end, tokens);
  if (name === "left" || name === "right" || /^[bB]igg?[lr]$/.test(name))
    return scanSizedBracket(text, end, name, tokens);
  if (name === "num") {
    const match = NUMBER_COMMAND.exec(text.slice(from, from + 64));
    if (match !== null) {
      const [integer = "", fraction = ""] = match[2]!.split(".");
      const value = fromDecimal(integer, fraction, Number(match[3] ?? 0));
      if (value !== null) {
        if (match[1] === "-") tokens.push({ type: "mark", text: "-", at: from });
        tokens.push({ type: "number", text: match[2]!, value, decimal: true, at: from });
        return from + match[0].length;
      }
    }
  }
  if (TEXT_COMMANDS.has(name)) return scanText(text, from, end, name, tokens);
  if (name === "begin" || name === "end") return scanEnvironment(text, from, end, name, tokens, open);
  if (IGNORED_COMMANDS.has(name)) return end;
  if (
    name === "tag" ||
    name === "label" ||
    name === "color" ||
    name === "textcolor" ||
    name === "hspace" ||
    name === "vspace"
  ) {
    const brace = text.indexOf("{", end);
    const close = brace >= 0 && text.slice(end, brace).trim() === "" ? groupEnd(text, brace) : -1;
    return close < 0 ? end : close + 1;
  }
  if (name === "Gamma" && /^\s*(?:\\left\s*)?\(/.test(text.slice(end, end + 12))) {
    tokens.push({ type: "function", text: "gamma", at: from });
    return end;
  }
  if (GREEK.has(name)) {
    tokens.push({ type: "letter", text: name, at: from });
    return end;
  }
  if (FUNCTIONS[name] !== undefined) {
    tokens.push({ type: "function", text: FUNCTIONS[name], at: from });
    return end;
  }
  if (STRUCTURAL.has(name) || TYPEFACES.has(name)) return push("command", name);
  // An unknown command is a name: better an unknown than a lost answer.
  tokens.push({ type: "letter", text: name, at: from });
  return end;
}

const BRACKET_COMMANDS: Readonly<Record<string, string>> = {
  lbrace: "\\{",
  rbrace: "\\}",
  lbrack: "[",
  rbrack: "]",
  langle: "<(",
  rangle: ")>",
  lvert: "|(",
  rvert: ")|",
  vert: "|",
  lVert: "|(",
  rVert: ")|",
  Vert: "|",
  lfloor: "floor(",
  rfloor: ")floor",
  lceil: "ceil(",
  rceil: ")ceil",
  lgroup: "(",
  rgroup: ")",
};

function scanSymbolCommand(next: string, from: number, tokens: Token[], open: string[]): number {
  const end = from + 2;
  if (next === "{" || next === "}") {
    if (next === "{") open.push("b");
    else open.pop();
    tokens.push({ type: "mark", text: `\\${next}`, at: from });
  } else if (next === "%") tokens.push({ type: "mark", text: "%", at: from });
  else if (next === "\\") tokens.push({ type: "mark", text: "\\\\", at: from });
  else if (next === "|") tokens.push({ type: "mark", text: "|", at: from });
  else if (next === "&" || next === "#" || next === "_") return end;
  else if (next === "" || " ,;:!/>$()[]\n\t".includes(next)) return end;
  else throw new ParseFailure(`unexpected \\${next}`, from);
  return end;
}

function scanNegated(text: string, from: number, end: number, tokens: Token[]): number {
  const match = /^\s*(=|\\in(?![a-zA-Z]))/.exec(text.slice(end, end + 10));
  if (match === null) throw new ParseFailure("unexpected \\not", from);
  tokens.push({ type: "relation", text: match[1] === "=" ? "!=" : "notin", at: from });
  return end + match[0].length;
}

function scanNamedSet(text: string, from: number, end: number, tokens: Token[]): number {
  const match =
    /^\s*(?:\{\s*([A-Z])\s*\}|([A-Z]))((?:\s*\^\s*(?:\{[^{}]{1,6}\}|[+*\d-]))|(?:\s*_\s*(?:\{[^{}]{1,8}\}|[+\d])))?/.exec(
      text.slice(end, end + 40),
    );
  if (match === null) throw new ParseFailure("unexpected \\mathbb", from);
  tokens.push({
    type: "command",
    text: `set:${match[1] ?? match[2]}${(match[3] ?? "").replace(/[\s{}]/g, "")}`,
    at: from,
  });
  return end + match[0].length;
}

function scanSizedBracket(text: string, end: number, name: string, tokens: Token[]): number {
  let at = end;
  while (text.charCodeAt(at) <= 32) at++;
  const character = text[at];
  if (character === ".") return at + 1;
  const bar =
    character === "|"
      ? 1
      : text.startsWith("\\|", at) || text.startsWith("\\vert", at)
        ? text[at + 1] === "|"
          ? 2
          : 5
        : 0;
  if (bar > 0) {
    const opening = name === "left" || name.endsWith("l");
    tokens.push({ type: "mark", text: opening ? "|(" : ")|", at });
    return at + bar;
  }
  return at;
}

function scanText(text: string, from: number, end: number, command: string, tokens: Token[]): number {
  let brace = end;
  while (text.charCodeAt(brace) <= 32) brace++;
  if (text[brace] === "*") brace++;
  if (text[brace] !== "{") {
    const letter = text[brace];
    if (letter === undefined || !isLetter(letter.charCodeAt(0))) return end;
    pushLetter(tokens, letter, brace);
    return brace + 1;
  }
  const close = groupEnd(text, brace);
  if (close < 0) throw new ParseFailure(`\\${command} without its closing brace`, from);
  const content = text
    .slice(brace + 1, close)
    .replace(/\\text\w*\s*\{([^{}]*)\}|[{}$]/g, "$1")
    .replace(/\\[ ,;:!]|[~\s]+/g, " ")
    .trim();
  const lower = content.toLowerCase().replace(/[.,]+$/, "");
  if (content === "") return close + 1;
  const connective = /^,?\s*(and|or|y|und|et|and\/or)\s*,?$/.exec(lower)?.[1];
  if (connective !== undefined) tokens.push({ type: "mark", text: connective === "or" ? "or" : "and", at: from });
  else if (lower === "," || lower === ";") tokens.push({ type: "mark", text: lower, at: from });
  else if (/^\\?%$|^percent(?:age)?$|^pct$/.test(lower)) tokens.push({ type: "mark", text: "%", at: from });
  else if (/^(?:degrees?|deg|°|\^\\circ)$/.test(lower)) tokens.push({ type: "mark", text: "degrees", at: from });
  else if (FUNCTIONS[content] !== undefined) tokens.push({ type: "function", text: FUNCTIONS[content], at: from });
  else if (content === "infinity" || content === "inf") tokens.push({ type: "constant", text: "infinity", at: from });
  else if (content === "mod") tokens.push({ type: "command", text: "mod", at: from });
  else tokens.push({ type: "text", text: content, at: from });
  return close + 1;
}

function scanEnvironment(
  text: string,
  from: number,
  end: number,
  name: "begin" | "end",
  tokens: Token[],
  open: string[],
): number {
  const match = /^\s*\{([a-zA-Z]+)\*?\}(\s*\[[^\]]{0,20}\])?/.exec(text.slice(end, end + 60));
  if (match === null) throw new ParseFailure(`\\${name} without a name`, from);
  let stop = end + match[0].length;
  const environment = match[1]!;
  if (name === "begin" && environment === "array") {
    const columns = /^\s*\{[^{}]*\}/.exec(text.slice(stop, stop + 80));
    if (columns !== null) stop += columns[0].length;
  }
  if (name === "begin") open.push("b");
  else open.pop();
  tokens.push({ type: name, text: environment, at: from });
  return stop;
}

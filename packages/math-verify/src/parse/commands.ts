import { fromDecimal } from "../evaluate/rational.js";
import { ParseFailure } from "./nodes.js";
import { groupEnd, isLetter, pushLetter, type Token } from "./token.js";
import { FUNCTIONS, GREEK, IGNORED_COMMANDS, RELATIONS, TEXT_COMMANDS, TYPEFACES } from "./vocabulary.js";

const NUMBER_COMMAND = /^\\num\s*\{\s*([+-]?)([\d.]+)(?:[eE]([+-]?\d+))?\s*\}/;

/** Commands the parser itself interprets. */
const STRUCTURAL = new Set(
  (
    "frac dfrac tfrac cfrac sqrt binom dbinom tbinom sum prod int lim choose over overline hat vec bar mod bmod pmod log " +
    "Rightarrow implies iff Leftrightarrow longrightarrow Longrightarrow to rightarrow dots ldots cdots mid colon angle triangle measuredangle because therefore operatorname"
  ).split(" "),
);

export function scanCommand(text: string, from: number, tokens: Token[], open: string[]): number {
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
  else if (/^[\d\s.,/:+*^()-]*\d[\d\s.,/:+*^()-]*$/.test(content) && /\D/.test(content)) return brace;
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

import { meaningOfPhrase } from "./compare/words.js";
import { type Candidate, findCandidates, looksLikeMathematics } from "./extract/candidates.js";
import { extractString } from "./extract/choices.js";
import { normalizedText, normalizeLatex } from "./normalize/latex.js";
import { type ExtractOptions, type ResolvedOptions, resolveOptions } from "./options.js";
import { type Node, ParseFailure } from "./parse/nodes.js";
import { parseAnswerTokens } from "./parse/structure.js";
import type { TokenOptions } from "./parse/token.js";

/** A parsed answer and the text it was read from. */
export interface Answer {
  readonly text: string;
  /** The reading to prefer, or null where the text could not be parsed. */
  readonly node: Node | null;
  /** Other readings of an ambiguous text, such as `100,200` as a list and as a number. */
  readonly alternatives: readonly Node[];
  /** Why the text could not be parsed; empty otherwise. */
  readonly problem: string;
}

const LATEX: TokenOptions = { mergeThousands: true, decimalComma: false };
const LISTED: TokenOptions = { mergeThousands: false, decimalComma: false };
const DECIMAL_COMMA: TokenOptions = { mergeThousands: true, decimalComma: true };

/** Parses a text that is one answer and nothing else, in LaTeX or plain notation. Never throws. */
export function parseAnswer(text: string): Answer {
  return parseWith(text, LATEX);
}

const LISTED_THOUSANDS = /\d,\d{3}(?!\d)/;
const CONDITION =
  /\s*(?:,|\\text\s*\{\s*,?|\$)?\s*\b(?:where|for all|for any|for some|for every|such that|with|when|if)\b/;

function parseWith(raw: string, options: TokenOptions): Answer {
  const text = normalizeLatex(raw);
  const phrase = meaningOfPhrase(text);
  if (phrase !== null) return { text: raw, node: phrase, alternatives: [], problem: "" };
  let problem: string;
  try {
    const node = parseAnswerTokens(text, options);
    if (node.kind === "text" && node.value === "") return { text: raw, node: null, alternatives: [], problem: "empty" };
    const alternatives = options.mergeThousands && LISTED_THOUSANDS.test(text) ? otherReading(text, LISTED) : [];
    return { text: raw, node, alternatives, problem: "" };
  } catch (error) {
    problem = problemOf(error);
  }
  const simpler = simplerText(text);
  if (simpler !== null) {
    try {
      return { text: raw, node: parseAnswerTokens(simpler, options), alternatives: [], problem: "" };
    } catch (error) {
      problem = problemOf(error);
    }
  }
  return { text: raw, node: null, alternatives: [], problem };
}

function otherReading(text: string, options: TokenOptions): Node[] {
  try {
    return [parseAnswerTokens(text, options)];
  } catch (error) {
    problemOf(error);
    return [];
  }
}

/** The message of a parse failure; anything else is a defect and is rethrown. */
function problemOf(error: unknown): string {
  if (error instanceof ParseFailure) return error.message;
  throw error;
}

/** What remains of an answer that cannot be parsed whole: before a condition in words, or after the last "=". */
function simplerText(text: string): string | null {
  const condition = CONDITION.exec(text);
  if (condition !== null && condition.index > 0) return text.slice(0, condition.index);
  const equals = text.lastIndexOf("=");
  if (equals > 0 && !/[,;]/.test(text) && text.indexOf("=") !== equals && !"<>!\\".includes(text[equals - 1]!))
    return text.slice(equals + 1);
  return null;
}

function withPercent(answer: Answer, percent: boolean): Answer {
  if (!percent || answer.node === null || answer.node.kind === "percent") return answer;
  return { ...answer, node: { kind: "percent", argument: answer.node } };
}

/** Parses the contents of one candidate; several connected environments make a list. */
function parseCandidate(candidate: Candidate): Answer {
  const options = candidate.kind === "expr" ? DECIMAL_COMMA : LATEX;
  const parts = candidate.contents.map((content, index) => {
    const inner = candidate.kind === "latex" && content.includes("\\boxed") ? unboxed(content) : content;
    return withPercent(parseWith(inner, options), candidate.percent[index] ?? false);
  });
  const [first] = parts;
  if (first === undefined) return { text: "", node: null, alternatives: [], problem: "empty" };
  if (parts.length === 1) return first;
  const nodes = parts.map((part) => part.node);
  const text = parts.map((part) => part.text).join(",");
  if (nodes.some((node) => node === null)) return { ...first, text: candidate.kind === "boxed" ? text : first.text };
  const items = nodes.flatMap((node) => (node!.kind === "list" ? node!.items : [node!]));
  return { text, node: { kind: "list", items, connector: "," }, alternatives: [], problem: "" };
}

const BOX_COMMAND = /\\(?:boxed|fbox)\s*\{/;

/** Content of an environment with its frame taken off: `x = \boxed{2}` is `x = {2}`. */
function unboxed(content: string): string {
  return content.replace(new RegExp(BOX_COMMAND, "g"), "{");
}

const DELIMITERS = /\\boxed|\\fbox|(?<!\\)\$|\\\(|\\\[|\\begin\{(?:equation|align|gather)/;

/** Candidates tried before giving up. */
const MAX_TRIES = 12;

/** Finds the answer of a response. Gold answers are bare more often, so there the whole text is tried first. */
export function findAnswer(response: string, options: ResolvedOptions, role: "gold" | "prediction"): Answer | null {
  const strings = options.targets.find((target) => typeof target === "object");
  if (strings !== undefined) {
    const found = extractString(response, strings.strings, options.withoutAnchor);
    if (found !== null) {
      const value = (strings.lowercase ?? true) ? found.toLowerCase() : found;
      return { text: found, node: { kind: "text", value }, alternatives: [], problem: "" };
    }
    if (options.targets.length === 1) return null;
  }
  const latex = options.targets.includes("latex");
  const bare = latex && options.withoutAnchor ? bareAnswer(response, role) : null;
  if (bare !== null && bare.node !== null) return bare;
  let first: Answer | null = null;
  for (const candidate of findCandidates(response, options).slice(0, MAX_TRIES)) {
    const answer = parseCandidate(candidate);
    if (answer.node !== null) {
      return answer;
    }
    if (first === null && answer.text.trim() !== "") first = answer;
    if (options.extractionMode === "first_match") break;
  }
  if (first !== null) return first;
  if (
    role === "prediction" &&
    !DELIMITERS.test(response) &&
    latex &&
    options.withoutAnchor &&
    response.length <= 200 &&
    (response.trim().split(/\s+/).length <= 3 || meaningOfPhrase(response.trim()) !== null)
  )
    return parseAnswer(response);
  if (role === "gold" && options.withoutAnchor && response.trim() !== "" && response.length <= 400)
    return parseAnswer(response);
  return bare;
}

/** A text that is itself an answer: without prose, and for a prediction without delimiters. */
function bareAnswer(response: string, role: "gold" | "prediction"): Answer | null {
  if (response.length > 2000) return null;
  const text = response.trim();
  if (text === "" || (text.includes("\n") && !text.includes("\\begin"))) return null;
  if (!DELIMITERS.test(text)) return looksLikeMathematics(withoutUnits(text)) ? parseAnswer(text) : null;
  if (FRAMED.test(text)) return null;
  // Connected or broken dollars ("$1$ and $2$", "$221,$8$") are one answer when nothing but mathematics remains.
  const outside = text.replace(/(?<!\\)\$[^$]*\$/g, " ");
  const isMathematics =
    (CONNECTIVES_ONLY.test(outside) || !ANY_WORD.test(outside)) &&
    looksLikeMathematics(withoutUnits(text.replaceAll("$", " ")));
  if (isMathematics) return parseAnswer(text);
  // A condition only qualifies the formula before it, which is all that a response in prose is read for.
  const conditioned = role === "gold" ? CONDITIONED.exec(text) : null;
  return conditioned === null ? null : { ...parseAnswer(conditioned[1]!), text };
}

const CONNECTIVES_ONLY = /^(?:[\s,;.$%\d]|\band\b|\bor\b|\bpercent\b|\bpct\b)*$/;
const ANY_WORD = /(?<!\\[a-zA-Z]*)[a-zA-Z]{2,}/;
const FRAMED = /\\boxed|\\fbox|\\\(|\\\[/;
/** "$f(x)=ax$, where $a$ is …". */
const CONDITIONED = /^(\$[^$]+\$)\s*,?\s*(?:where|for|with|if|when|such that)\b/;

function withoutUnits(text: string): string {
  return text.replace(
    /\b(?:cm|mm|km|kg|meters?|miles?|inches|feet|units?|dollars?|cents?|hours?|minutes?|seconds?|days?|years?)\b/g,
    " ",
  );
}

/**
 * Extracts and parses the answer of a response. The result has Math-Verify's shape: the parsed answer,
 * then its text (with `fallbackMode: "first_match"`, the default); empty where nothing was found.
 * With a strings target the first element is the (lower-cased) string itself.
 */
export function parse(response: string, options: ExtractOptions = {}): (Answer | string)[] {
  const resolved = resolveOptions(options);
  const answer = findAnswer(response, resolved, "prediction");
  if (answer === null) return [];
  const isString = answer.node?.kind === "text" && resolved.targets.some((target) => typeof target === "object");
  const result: (Answer | string)[] = [];
  if (isString && answer.node?.kind === "text") result.push(answer.node.value);
  else if (answer.node !== null) result.push(answer);
  if (resolved.fallbackMode === "first_match") result.push(answer.text);
  return result;
}

/** The text of the answer in a response, or null. */
export function extract(response: string, options: ExtractOptions = {}): string | null {
  const answer = findAnswer(response, resolveOptions(options), "prediction");
  return answer === null ? null : answer.text;
}

/** Whether two answer texts coincide once spacing and sizes are set aside. */
export function sameText(a: string, b: string): boolean {
  const left = normalizedText(a);
  return left !== "" && left === normalizedText(b);
}

import type { ResolvedOptions } from "../options.js";
import { afterPercent, findEnvironments, lastBoxes, type Span } from "./environments.js";
import { findPlain, type PlainSpan } from "./plain.js";

/** A place in a text that may hold the answer. */
export interface Candidate {
  readonly kind: "boxed" | "latex" | "expr" | "sentence";
  readonly priority: number;
  readonly start: number;
  readonly end: number;
  readonly contents: readonly string[];
  readonly percent: readonly boolean[];
}

/** Boxes are looked for in this much text, and formulas, anchors and numbers in the last part of it. */
const MAX_RESPONSE = 4_000_000;
const MAX_SEARCHED = 100_000;
const MAX_ANCHORS = 24;

/** Candidates in order of precedence: by priority, then the one that ends last. */
export function findCandidates(response: string, options: ResolvedOptions): Candidate[] {
  const text = response.length > MAX_RESPONSE ? response.slice(-MAX_RESPONSE) : response;
  const latex = options.targets.includes("latex");
  const candidates: Candidate[] = [];
  if (latex && options.boxedPriority >= 0) addBoxes(text, options.boxedPriority, candidates);
  if (text.length <= MAX_SEARCHED) addFromText(text, options, candidates);
  else {
    addFromText(text.slice(-MAX_SEARCHED), options, candidates);
    if (candidates.length === 0) addFromText(text.slice(0, MAX_SEARCHED), options, candidates);
  }
  return candidates.sort((a, b) => a.priority - b.priority || b.end - a.end || a.start - b.start);
}

function addFromText(text: string, options: ResolvedOptions, candidates: Candidate[]): void {
  const latex = options.targets.includes("latex");
  const expr = options.targets.includes("expr");
  const spans = latex ? findEnvironments(text) : [];
  const plain = expr ? findPlain(text) : [];
  for (const anchor of findAnchors(text)) addAnchored(text, anchor, spans, latex, expr, candidates);
  if (options.withoutAnchor) {
    for (const span of withoutConditions(text, spans.slice(-32)))
      candidates.push({ kind: "latex", priority: 300, ...span });
    for (const span of plain.slice(-32)) candidates.push(fromPlain(span, 300));
  }
}

const CONDITION = /\b(?:where|such that|for (?:all|any|some|every|each))\b/;
const SENTENCE_END = /\.\s|[!?\n]/;

/** Leaves out formulas that only qualify an earlier one in the same sentence: "$f(x)=ax$, where $a$ is …". */
function withoutConditions(text: string, spans: readonly Span[]): readonly Span[] {
  let qualifies = false;
  return spans.filter((span, index) => {
    const previous = spans[index - 1];
    const between = previous === undefined ? "\n" : text.slice(previous.end, Math.min(span.start, previous.end + 400));
    if (SENTENCE_END.test(between)) qualifies = false;
    else if (CONDITION.test(between)) qualifies = true;
    return !qualifies;
  });
}

function fromPlain(span: PlainSpan, priority: number): Candidate {
  return { kind: "expr", priority, start: span.start, end: span.end, contents: [span.text], percent: [span.percent] };
}

/** The final boxes, and as second and third choice the ones before them. */
function addBoxes(text: string, priority: number, candidates: Candidate[]): void {
  let limit = text.length;
  for (let round = 0; round < 3; round++) {
    const boxes = lastBoxes(text, limit);
    const [first] = boxes;
    const last = boxes.at(-1);
    if (first === undefined || last === undefined) return;
    const percent: boolean[] = [];
    let end = last.end;
    for (const box of boxes) {
      const dollar = /^\s*\$+/.exec(text.slice(box.end, box.end + 8))?.[0].length ?? 0;
      end = afterPercent(text, box.end + dollar, percent);
    }
    // The greedy pattern of the reference reaches the last brace of the text.
    const reach = round === 0 ? Math.max(end, text.lastIndexOf("}") + 1) : end;
    candidates.push({
      kind: "boxed",
      priority,
      start: first.start,
      end: reach,
      contents: boxes.map((box) => box.content),
      percent,
    });
    limit = first.start;
  }
}

interface Anchor {
  readonly priority: number;
  /** First position after the anchor words. */
  readonly at: number;
  /** How far the answer may stand off. */
  readonly window: number;
}

/** The marks of GSM8K: "#### 18", "A: 18". */
const LAST_LINE = /(?<=^|\n)[ \t]*(?:####|A:)[ \t]*/g;
const ANSWER = /(final\s+)?answer/gi;

function findAnchors(text: string): Anchor[] {
  const anchors: Anchor[] = [];
  const positions: { at: number; final: boolean; end: number }[] = [];
  ANSWER.lastIndex = 0;
  for (let match = ANSWER.exec(text); match !== null; match = ANSWER.exec(text)) {
    positions.push({ at: match.index, final: match[1] !== undefined, end: match.index + match[0].length });
    if (positions.length > 4 * MAX_ANCHORS) positions.splice(0, 2 * MAX_ANCHORS);
  }
  LAST_LINE.lastIndex = Math.max(0, text.length - 4000);
  for (let match = LAST_LINE.exec(text); match !== null; match = LAST_LINE.exec(text)) {
    anchors.push({ priority: 100, at: match.index + match[0].length, window: 4 });
  }
  for (const { final, end } of positions.slice(-MAX_ANCHORS)) {
    const after = text.slice(end, end + 120);
    if (final) {
      const direct = /^ is:?\s*/.exec(after);
      if (direct !== null) anchors.push({ priority: 0, at: end + direct[0].length, window: 0 });
      const loose = /^[\s\S]{0,100}?\s+is:?\s*/.exec(after);
      if (loose !== null) anchors.push({ priority: 50, at: end + loose[0].length, window: 0 });
    }
    if (after.startsWith(":")) anchors.push({ priority: 100, at: end + 1, window: 50 });
    anchors.push({ priority: 200, at: end, window: 50 });
  }
  return anchors;
}

function addAnchored(
  text: string,
  anchor: Anchor,
  spans: readonly Span[],
  latex: boolean,
  expr: boolean,
  candidates: Candidate[],
): void {
  if (latex) {
    const span = firstSpan(spans, anchor.at);
    if (
      span !== undefined &&
      span.start - anchor.at <= anchor.window &&
      (anchor.priority > 0 || hopes(text, span.end))
    ) {
      candidates.push({ kind: "latex", priority: anchor.priority, ...span });
    }
    if (anchor.priority >= 50) addSentence(text, anchor, candidates);
  }
  if (!expr) return;
  for (const span of findPlain(
    text,
    Math.max(0, anchor.at - 1),
    anchor.at + anchor.window + (anchor.window > 0 ? 50 : 2),
  )) {
    if (span.start < anchor.at - 1) continue;
    if (anchor.priority === 0 && !hopes(text, span.end)) break;
    if (/^\s*=/.test(text.slice(span.end, span.end + 8))) continue;
    const afterEquals = text.slice(anchor.at, span.start).trimEnd().endsWith("=");
    if (span.start - anchor.at <= anchor.window || afterEquals) {
      candidates.push(fromPlain(span, anchor.priority));
      break;
    }
  }
}

/** "…. I hope it is correct." marks the answer of a fixed prompt format. */
function hopes(text: string, end: number): boolean {
  return /^\.?\s?I hope/.test(text.slice(end, end + 10));
}

const SENTENCE = /^\s*(?:is|are|equals|=|:)?\s*:?\s*([^\n]{1,600})/;

/** "the answer is x_0 \cos t": bare mathematics up to the end of the line, after the sentence's full stop is cut. */
function addSentence(text: string, anchor: Anchor, candidates: Candidate[]): void {
  const match = SENTENCE.exec(text.slice(anchor.at, anchor.at + 640));
  if (match === null) return;
  const line = match[1]!.replace(/\s*\*+\s*$/, "");
  const sentence = /^(.*?)(?:\.\s+[A-Z"(].*|[.,;!?\s]*)$/.exec(line)?.[1] ?? line;
  // A formula in delimiters is a candidate of its own, unless a stray dollar broke it.
  const dollars = sentence.match(/(?<!\\)\$/g)?.length ?? 0;
  if (/\\boxed|\\fbox|\\\(|\\\[/.test(sentence) || (dollars % 2 === 0 && /\$[^$]*[^\s$][^$]*\$/.test(sentence))) return;
  const isFormula = looksLikeMathematics(sentence);
  if (sentence === "" || (!isFormula && sentence.split(/\s+/).length > 3)) return;
  const start = anchor.at + match[0].length - match[1]!.length;
  // Words are an answer only where there is no formula or number at all: "my answer is correct".
  const priority = isFormula && !/^[a-zA-Z\s]{2,}$/.test(sentence) ? anchor.priority : 400;
  candidates.push({
    kind: "sentence",
    priority,
    start,
    end: start + sentence.length,
    contents: [sentence],
    percent: [false],
  });
}

function firstSpan(spans: readonly Span[], at: number): Span | undefined {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.start < at) low = middle + 1;
    else high = middle;
  }
  return spans[low];
}

const KNOWN_WORDS =
  /^(?:and|or|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|inf|infinity|arcsin|arccos|arctan|sinh|cosh|tanh|max|min|gcd|lcm|mod|percent|percentage|pct|degrees?|np|abs|floor|ceil)$/i;
const WORD = /(?<![\\a-zA-Z])[a-zA-Z]{2,}/g;

/** Short words of prose; products of letters such as "by" or "at" are not among them. */
const SHORT_ENGLISH =
  /(?:^|\s)(?:the|is|we|get|it|so|was|are|of|to|in|if|be|on|no|he|she|has|had|her|his|its|can|for|you|not|but|how|all|our|out|any|who|yes|let|my|me|do|did|see|use)(?=\s|$|[.,;:!?])/i;

/** Whether a bare text reads as a formula rather than as prose: no words beyond names of functions. */
export function looksLikeMathematics(text: string): boolean {
  if (text.length > 2000) return false;
  const plain = text.replace(/\\(?:text\w*|mathrm|mbox|operatorname|begin|end)\s*\{[^{}]*\}/g, " ");
  if (SHORT_ENGLISH.test(plain)) return false;
  const words = plain.match(WORD) ?? [];
  const prose = words.filter((word) => !KNOWN_WORDS.test(word) && (word.length > 3 || !/[\d\\^_=+*/()-]/.test(plain)));
  if (prose.length === 0) return true;
  return prose.length === 1 && /^[\s"'(]*[a-zA-Z]+[\s"').]*$/.test(plain);
}

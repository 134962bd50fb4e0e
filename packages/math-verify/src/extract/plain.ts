/** A number or arithmetic expression found in plain text. */
export interface PlainSpan {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly percent: boolean;
  readonly kind: "number" | "expression";
}

const CURRENCY = "$€£¥₹₽₪₩₫฿₡₢₣₤₥₦₧₨₭₮₯₰₱₲₳₴₵₶₷₸₺₻₼₾₿";
const START = new RegExp(
  `(?<=^|[\\s=:≈~"'\`(\\[*])(?:\\*\\*)?(?:\\\\?[${CURRENCY}]\\s?)?(?=\\({0,3}[-−]?\\({0,3}\\.?\\d)`,
  "gu",
);
const NUMBER =
  /-?(?:\d+(?::\d+)+(?![\d:])|[1-9]\d{0,2}(?:,\d{3})+(?![\d])(?:\.\d+)?|[1-9]\d{0,2}(?: \d{3})+(?![\d])(?:\.\d+)?|[1-9]\d{0,2}(?:\.\d{3})+,\d+|\d+[.,]\d+|\.\d+|\d+)(?:[eE][+-]?\d+(?![a-zA-Z\d]))?/y;
/** A point in prose: "(1, 2)". */
const POINT = /\(\s*-?\d[\d./]*(?:\s*,\s*-?\d[\d./]*){1,9}\s*\)/y;
const PERCENT = /\s*(?:%|[Pp]ercent(?:age)?|[Pp]ct)/y;
const MAX_EXPRESSION = 300;
/** Matches kept from the end of the text. */
const KEPT = 48;

function isExpressionCharacter(code: number): boolean {
  // digits . space + - * / ^ ( ) × ÷
  return (
    (code >= 48 && code <= 57) ||
    (code >= 40 && code <= 43) ||
    code === 45 ||
    code === 46 ||
    code === 47 ||
    code === 32 ||
    code === 94 ||
    code === 215 ||
    code === 247
  );
}

/** Plain numbers and arithmetic within [from, to), the last ones if there are many. Linear. */
export function findPlain(text: string, from = 0, to = text.length): PlainSpan[] {
  const found: PlainSpan[] = [];
  START.lastIndex = from;
  for (let match = START.exec(text); match !== null && match.index < to; match = START.exec(text)) {
    const at = match.index + match[0].length;
    if (match[0].length === 0) START.lastIndex = match.index + 1;
    const span =
      readPoint(text, match.index, at) ?? readExpression(text, match.index, at) ?? readNumber(text, match.index, at);
    if (span === null) continue;
    found.push(span);
    START.lastIndex = Math.max(START.lastIndex, span.end);
    if (found.length > 2 * KEPT) found.splice(0, KEPT);
  }
  return found.slice(-KEPT);
}

function readPoint(text: string, start: number, at: number): PlainSpan | null {
  POINT.lastIndex = at;
  const match = POINT.exec(text);
  return match === null
    ? null
    : { start, end: at + match[0].length, text: match[0], percent: false, kind: "expression" };
}

function readNumber(text: string, start: number, at: number): PlainSpan | null {
  let from = at;
  while (text[from] === "(") from++;
  NUMBER.lastIndex = from;
  const match = NUMBER.exec(text);
  if (match === null) return null;
  const end = from + match[0].length;
  PERCENT.lastIndex = end;
  const percent = PERCENT.exec(text);
  return { start, end: end + (percent?.[0].length ?? 0), text: match[0], percent: percent !== null, kind: "number" };
}

/** A run of digits and operators on one line that holds an operator between operands and ends at a boundary. */
function readExpression(text: string, start: number, at: number): PlainSpan | null {
  const limit = Math.min(text.length, at + MAX_EXPRESSION);
  let end = at;
  let hasOperator = false;
  for (; end < limit; end++) {
    const code = text.charCodeAt(end);
    if (!isExpressionCharacter(code)) break;
    if (code !== 32 && code !== 46 && (code < 48 || code > 57)) hasOperator = true;
  }
  if (!hasOperator) return null;
  if (end === limit && limit < text.length) return null;
  let run = text.slice(at, end);
  const next = text[end];
  // A letter or other sign directly after an operand makes the run part of something else.
  const atBoundary = next === undefined || /[\s.,:;$)*!?\]"'`|\\]/.test(next) || /\s$/.test(run);
  if (!atBoundary) return null;
  run = run.replace(/[\s.+\-*/^(×÷]+$/, "");
  let depth = 0;
  let cut = run.length;
  for (let index = 0; index < run.length; index++) {
    if (run[index] === "(") depth++;
    else if (run[index] === ")" && --depth < 0) {
      cut = index;
      break;
    }
  }
  run = run.slice(0, cut).trimEnd();
  if (depth > 0 || !/\d\s*\)*\s*[+\-*/^×÷]|\(.*\d.*\)\s*\d|\d\s*\(/.test(run) || !/\d\)*$/.test(run)) return null;
  return { start, end: at + run.length, text: run, percent: false, kind: "expression" };
}

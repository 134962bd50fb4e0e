import type { CompareOptions } from "./compare/options.js";

/** What to look for in a text: LaTeX in math delimiters and boxes, plain numbers, or given strings. */
export type ExtractionTarget = "latex" | "expr" | { readonly strings: readonly string[]; readonly lowercase?: boolean };

export interface ExtractOptions {
  /** What counts as an answer. Default: LaTeX and plain expressions. */
  readonly targets?: readonly ExtractionTarget[];
  /**
   * Precedence of `\boxed{…}`: 0 before everything, 50 with "final answer is", 100 after it, −1 never.
   * Default 50.
   */
  readonly boxedPriority?: number;
  /** Whether text without an anchor ("answer", a box) is searched. Default true. */
  readonly withoutAnchor?: boolean;
  /** "any_match" tries further matches when the first cannot be parsed. Default "any_match". */
  readonly extractionMode?: "first_match" | "any_match";
  /** "first_match" keeps the text of the first match beside its parsed value. Default "first_match". */
  readonly fallbackMode?: "no_fallback" | "first_match";
}

export interface VerifyOptions extends ExtractOptions {
  /** Decimals to which a number written as a decimal is compared. Default 6. */
  readonly floatRounding?: number;
  /** Significant digits to which computed values must agree. Default 15. */
  readonly numericPrecision?: number;
  /** Variables keep their names, sets are not tuples. Default true. */
  readonly strict?: boolean;
  /** A relation may answer a set as gold. Default false; a set may always answer a relation. */
  readonly allowSetRelationComparison?: boolean;
  /** Rethrow an internal error instead of reporting the outcome "error". Default false. */
  readonly raiseOnError?: boolean;
}

export interface ResolvedOptions extends Required<ExtractOptions>, CompareOptions {
  readonly raiseOnError: boolean;
}

const DEFAULTS: ResolvedOptions = {
  targets: ["latex", "expr"],
  boxedPriority: 50,
  withoutAnchor: true,
  extractionMode: "any_match",
  fallbackMode: "first_match",
  floatRounding: 6,
  numericPrecision: 15,
  strict: true,
  allowSetRelationComparison: false,
  raiseOnError: false,
};

/** Options with defaults filled in. Throws RangeError for a value that cannot be meant. */
export function resolveOptions(options: VerifyOptions = {}): ResolvedOptions {
  if (isEmpty(options)) return DEFAULTS;
  const resolved = { ...DEFAULTS, ...definedOnly(options) };
  if (!Number.isInteger(resolved.floatRounding) || resolved.floatRounding < 0 || resolved.floatRounding > 100) {
    throw new RangeError(`math-verify: floatRounding must be an integer from 0 to 100, got ${resolved.floatRounding}`);
  }
  if (
    !Number.isInteger(resolved.numericPrecision) ||
    resolved.numericPrecision < 1 ||
    resolved.numericPrecision > 100
  ) {
    throw new RangeError(
      `math-verify: numericPrecision must be an integer from 1 to 100, got ${resolved.numericPrecision}`,
    );
  }
  if (resolved.targets.length === 0)
    throw new RangeError("math-verify: targets must name at least one of latex, expr, strings");
  return resolved;
}

function isEmpty(options: object): boolean {
  for (const _ in options) return false;
  return true;
}

function definedOnly<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** Names Math-Verify and its records use, and ours. */
const RECORD_KEYS: Readonly<Record<string, keyof VerifyOptions>> = {
  boxed_match_priority: "boxedPriority",
  try_extract_without_anchor: "withoutAnchor",
  extraction_mode: "extractionMode",
  fallback_mode: "fallbackMode",
  float_rounding: "floatRounding",
  numeric_precision: "numericPrecision",
  strict: "strict",
  allow_set_relation_comp: "allowSetRelationComparison",
  raise_on_error: "raiseOnError",
};

/**
 * Options of a record in Math-Verify's spelling (`match_types`, `float_rounding`, …) or in ours.
 * Keys that are neither are left out.
 */
export function optionsFromRecord(record: Readonly<Record<string, unknown>>): VerifyOptions {
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(record)) {
    if (value === null || value === undefined) continue;
    const name = RECORD_KEYS[key] ?? (key in DEFAULTS ? key : undefined);
    if (name !== undefined) options[name] = value;
  }
  if (Array.isArray(record.match_types)) options.targets = record.match_types;
  if (record.extraction === "string") {
    options.targets = [{ strings: record.strings ?? ["A", "B", "C", "D"], lowercase: record.lowercase ?? true }];
  }
  return options as VerifyOptions;
}

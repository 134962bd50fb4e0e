import { optionsFromRecord } from "./options.js";
import { parse, parseAnswer } from "./parse.js";
import { compareAnswers, type Verdict, verify } from "./verify.js";

/** A line of a verification file: `options` in Math-Verify's spelling or ours. */
export interface VerificationRecord {
  readonly gold: string | null;
  readonly prediction: string;
  readonly options?: Readonly<Record<string, unknown>> | null;
  /** "verify" (default); "expr_eq" compares two bare expressions; "parse" only extracts. */
  readonly kind?: string;
}

export interface RecordResult extends Verdict {
  /** Time spent, in microseconds. */
  readonly micros: number;
  /** For kind "parse": what was extracted, in Math-Verify's shape (parsed text, then the raw text). */
  readonly parsed?: readonly string[];
}

/** Verifies one record of a file. Throws TypeError when the record has no prediction. */
export function verifyRecord(record: VerificationRecord): RecordResult {
  if (typeof record.prediction !== "string") throw new TypeError('math-verify: a record needs a string "prediction"');
  const options = optionsFromRecord(record.options ?? {});
  const start = performance.now();
  const finish = (verdict: Verdict, parsed?: readonly string[]): RecordResult => ({
    ...verdict,
    micros: Math.round((performance.now() - start) * 1e4) / 10,
    ...(parsed === undefined ? {} : { parsed }),
  });
  if (record.gold === null || record.gold === undefined || record.kind === "parse") {
    const parsed = parse(record.prediction, options).map((item) => (typeof item === "string" ? item : item.text));
    const reason = parsed.length === 0 ? "no answer found in the prediction" : "nothing to compare with";
    return finish(
      { correct: false, outcome: "unverifiable", reason, gold: null, prediction: parsed[0] ?? null },
      parsed,
    );
  }
  if (record.kind !== "expr_eq") return finish(verify(record.gold, record.prediction, options));
  return finish(compareAnswers(parseAnswer(record.gold), parseAnswer(record.prediction), options));
}

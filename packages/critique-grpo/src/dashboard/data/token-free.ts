/** Rollout records without their token arrays, which are nine tenths of their bytes and of the time to parse them. */
import type { RolloutRecord } from "../../run/records.js";

/**
 * Ends of the keys `tokens`, `promptTokens` and `logprobs` with an array as their value. They cannot occur within a
 * JSON string: a quote in there is escaped.
 */
const TOKENS = Buffer.from('okens":[');
const LOGPROBS = Buffer.from('ogprobs":[');
const CLOSE = 0x5d;

/** The line with every token array emptied. */
export function withoutTokens(line: Buffer): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  let tokens = line.indexOf(TOKENS);
  let logprobs = line.indexOf(LOGPROBS);
  while (tokens >= 0 || logprobs >= 0) {
    const first = logprobs < 0 || (tokens >= 0 && tokens < logprobs);
    const end = first ? tokens + TOKENS.length : logprobs + LOGPROBS.length;
    parts.push(line.subarray(from, end));
    const close = line.indexOf(CLOSE, end);
    if (close < 0) break;
    from = close;
    if (first) tokens = line.indexOf(TOKENS, close);
    else logprobs = line.indexOf(LOGPROBS, close);
  }
  parts.push(line.subarray(from));
  return Buffer.concat(parts);
}

/** A rollout record whose `tokens`, `promptTokens` and `logprobs` are empty. @throws SyntaxError */
export function parseWithoutTokens(line: Buffer): RolloutRecord {
  return JSON.parse(withoutTokens(line).toString("utf8")) as RolloutRecord;
}

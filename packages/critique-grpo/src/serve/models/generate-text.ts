/** Generation that looks at its text as it grows: for stop strings, and for streams. */
import type { SampledSequence } from "@critique-grpo/engine";
import type { TextCodec } from "../../policy/policy.js";
import type { ModelHost, Weights } from "./model-host.js";

export interface TextRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly stopTokens: readonly number[];
  readonly stopStrings: readonly string[];
  readonly seed: number;
}

export interface GeneratedText {
  /** Up to and with the token that ended it. */
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
  /** Without the stop token and from before the stop string. */
  readonly text: string;
  readonly stopReason: "stop" | "length";
}

/** The engine returns finished sequences only, so text is generated in pieces: short ones first, so that it soon shows. */
const FIRST_PIECE = 4;
const LONGEST_PIECE = 64;

/**
 * One continuation. `onText` gets what is certain to be part of the text, as soon as it is. The pieces do not depend on
 * who listens: the same seed gives the same text streamed and whole.
 */
export async function generateText(
  host: ModelHost,
  weights: Weights,
  codec: TextCodec,
  request: TextRequest,
  options: { readonly signal?: AbortSignal; readonly onText?: (text: string) => void } = {},
): Promise<GeneratedText> {
  const { stopTokens, stopStrings, maxTokens } = request;
  const tokens: number[] = [];
  const logprobs: number[] = [];
  let shown = 0;
  const show = (text: string) => {
    if (text.length > shown) options.onText?.(text.slice(shown));
    shown = Math.max(shown, text.length);
  };
  for (let piece = 0, length = FIRST_PIECE; ; piece++, length = Math.min(2 * length, LONGEST_PIECE)) {
    options.signal?.throwIfAborted();
    const [sequence] = (await host.sample(
      weights,
      {
        prompt: [...request.prompt, ...tokens],
        count: 1,
        maxTokens: Math.min(length, maxTokens - tokens.length),
        temperature: request.temperature,
        topK: request.topK,
        topP: request.topP,
        stopTokens,
        seed: pieceSeed(request.seed, piece),
      },
      options.signal,
    )) as readonly [SampledSequence];
    const before = tokens.length;
    tokens.push(...sequence.tokens);
    logprobs.push(...sequence.logprobs);
    const ended = sequence.stopReason === "stop";
    const text = codec.decode(ended ? tokens.slice(0, -1) : tokens);
    const cut = firstStop(text, stopStrings);
    if (cut >= 0) {
      // The token with which the stop string was complete is the last one.
      let end = before + 1;
      while (end < tokens.length && firstStop(codec.decode(tokens.slice(0, end)), stopStrings) < 0) end++;
      show(text.slice(0, cut));
      return {
        tokens: tokens.slice(0, end),
        logprobs: logprobs.slice(0, end),
        text: text.slice(0, cut),
        stopReason: "stop",
      };
    }
    if (ended || tokens.length >= maxTokens) {
      show(text);
      return { tokens, logprobs, text, stopReason: ended ? "stop" : "length" };
    }
    show(certainPart(text, stopStrings));
  }
}

/** The first piece draws from the request's own stream. */
export function pieceSeed(seed: number, piece: number): number {
  return (seed + Math.imul(piece, 0x9e3779b1)) >>> 0;
}

function firstStop(text: string, stops: readonly string[]): number {
  const found = stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
  return found.length === 0 ? -1 : Math.min(...found);
}

/** Text that later tokens cannot change: no half character at the end, nothing that may begin a stop string. */
function certainPart(text: string, stops: readonly string[]): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === "\ufffd") end--;
  for (let from = Math.max(0, end - Math.max(0, ...stops.map((stop) => stop.length)) + 1); from < end; from++) {
    const tail = text.slice(from, end);
    if (stops.some((stop) => stop.startsWith(tail))) return text.slice(0, from);
  }
  return text.slice(0, end);
}

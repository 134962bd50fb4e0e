/** From files of prompts and responses to token sequences. */
import { InputError } from "../config/errors.js";
import type { SftConfig } from "../config/sft-schema.js";
import { checkMessages } from "../data/map-row.js";
import type { ChatMessage } from "../data/question.js";
import { type LocatedRow, readRows } from "../data/read.js";
import type { TextCodec, TokenSequence } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";
import { encodeResponse } from "../text/response.js";

/** A prompt and the response to learn, as text. */
export interface TextPair {
  readonly prompt: readonly ChatMessage[] | string;
  readonly response: string;
}

/** The tokens of a pair; the response ends in the codec's first stop token, so that the model learns to stop. */
export function encodePair(codec: TextCodec, pair: TextPair): TokenSequence {
  return { prompt: encodePrompt(codec, pair.prompt), response: encodeResponse(codec, pair.response) };
}

/** All pairs of the files, in order. @throws InputError with file and row for what is missing or of a wrong kind. */
export async function loadPairs(config: SftConfig["data"]): Promise<TextPair[]> {
  const files = typeof config.files === "string" ? [config.files] : config.files;
  const pairs: TextPair[] = [];
  for (const file of files) {
    for (const located of await readRows(file)) {
      if (pairs.length === config.limit) return pairs;
      pairs.push(toPair(located, config));
    }
  }
  if (pairs.length === 0) throw new InputError(`${files.join(", ")}: no rows; training needs at least one pair`);
  return pairs;
}

function toPair({ row, location }: LocatedRow, { columns, format }: SftConfig["data"]): TextPair {
  if (row[columns.prompt] === undefined && row[columns.messages] !== undefined) {
    const messages = readMessages(row[columns.messages], `${location}: column "${columns.messages}"`);
    const last = messages.at(-1);
    if (last?.role !== "assistant" || messages.length < 2) {
      throw new InputError(`${location}: "${columns.messages}" must be a question and end in the assistant's answer`);
    }
    return { prompt: dress(messages.slice(0, -1), format), response: last.content };
  }
  const prompt = row[columns.prompt];
  const response = row[columns.response];
  if (prompt === undefined || typeof response !== "string") {
    throw new InputError(
      `${location}: needs "${columns.prompt}" and a text "${columns.response}", or "${columns.messages}"; it has ${Object.keys(row).join(", ") || "no columns"}`,
    );
  }
  if (typeof prompt === "string") return { prompt: dress([{ role: "user", content: prompt }], format), response };
  return { prompt: dress(readMessages(prompt, `${location}: column "${columns.prompt}"`), format), response };
}

function readMessages(value: unknown, where: string): ChatMessage[] {
  if (Array.isArray(value)) return checkMessages(value, where);
  throw new InputError(`${where} must be a list of {role, content}`);
}

function dress(messages: readonly ChatMessage[], format: SftConfig["data"]["format"]): TextPair["prompt"] {
  return format === "plain" ? messages.map((message) => message.content).join("\n\n") : messages;
}

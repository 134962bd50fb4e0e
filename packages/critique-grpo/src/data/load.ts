/** From files to questions: read, map, dress the prompt, check ids. */
import { basename, extname } from "node:path";
import type { MappedRow, MapRowFunction } from "../config/define.js";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { loadUserFunction } from "../config/user-module.js";
import { checkMessages, mapKnownColumns } from "./map-row.js";
import type { ChatMessage, Question } from "./question.js";
import { type LocatedRow, readRows } from "./read.js";

/** A question and the place in the data it comes from, for messages. */
export interface LocatedQuestion {
  readonly question: Question;
  readonly location: string;
}

/** How rows become questions; `evaluation` reads its own files in the same way. */
export type DataConfig = RunConfig["data"];

/**
 * All questions of the files, in order. Paths must be absolute (the configuration resolves them).
 * Throws InputError on unreadable files, missing columns, repeated ids and an empty result.
 */
export async function loadQuestions(config: DataConfig): Promise<LocatedQuestion[]> {
  const files = typeof config.files === "string" ? [config.files] : config.files;
  const mapRow = config.module === undefined ? undefined : await loadMapRow(config.module);
  const labels = fileLabels(files);
  const questions: LocatedQuestion[] = [];
  for (const [number, file] of files.entries()) {
    for (const located of await readRows(file)) {
      if (questions.length === config.limit) break;
      const mapped = mapRow ? await mapWithModule(mapRow, located) : mapKnownColumns(located, config);
      if (mapped === null) continue;
      questions.push({ question: toQuestion(mapped, located, labels[number]!, config), location: located.location });
    }
  }
  if (questions.length === 0) {
    throw new InputError(
      `${files.join(", ")}: no questions (${mapRow ? "mapRow left out every row, or there are none" : "no rows"})`,
    );
  }
  refuseRepeatedIds(questions);
  return questions;
}

function toQuestion(mapped: MappedRow, located: LocatedRow, label: string, config: DataConfig): Question {
  const messages =
    typeof mapped.prompt === "string" ? [{ role: "user" as const, content: mapped.prompt }] : mapped.prompt;
  const asked = messages.findLast((message) => message.role === "user") ?? messages.at(-1)!;
  if (asked.content.trim() === "") throw new InputError(`${located.location}: the question is empty`);
  return {
    id: mapped.id ?? `${label}#${located.index}`,
    dataSource: mapped.dataSource ?? label,
    text: mapped.text ?? asked.content,
    prompt: dressPrompt(messages, asked, config),
    gold: mapped.gold ?? "",
    ...(mapped.solution === undefined ? {} : { solution: mapped.solution }),
    metadata: mapped.metadata ?? {},
  };
}

/** Template around the last user message, system message first; plain prompts are one text. */
function dressPrompt(messages: readonly ChatMessage[], asked: ChatMessage, config: DataConfig): Question["prompt"] {
  const template = config.promptTemplate;
  const dressed = messages.map((message) =>
    message === asked && template !== undefined
      ? { ...message, content: template.replaceAll("{question}", () => message.content) }
      : message,
  );
  if (config.format === "plain") return dressed.map((message) => message.content).join("\n\n");
  if (config.system === undefined || dressed.some((message) => message.role === "system")) return dressed;
  return [{ role: "system", content: config.system }, ...dressed];
}

async function loadMapRow(file: string): Promise<MapRowFunction> {
  const mapRow = await loadUserFunction({
    file,
    names: ["mapRow"],
    purpose: "data map",
    example: "export default defineDataMap((row) => ({ prompt: String(row.question), gold: String(row.answer) }))",
  });
  return mapRow as MapRowFunction;
}

async function mapWithModule(mapRow: MapRowFunction, located: LocatedRow): Promise<MappedRow | null> {
  let mapped: unknown;
  try {
    mapped = await mapRow(located.row, located.index);
  } catch (error) {
    throw new InputError(`${located.location}: mapRow failed: ${(error as Error).message}`, { cause: error });
  }
  if (mapped === null) return null;
  const where = `${located.location}: mapRow`;
  if (typeof mapped !== "object") {
    throw new InputError(
      `${where} returned ${typeof mapped}; it must return {prompt, gold, …}, or null to leave the row out`,
    );
  }
  const { prompt, metadata, ...texts } = mapped as Record<string, unknown>;
  for (const [key, value] of Object.entries(texts)) {
    if (!["gold", "id", "dataSource", "text", "solution"].includes(key)) {
      throw new InputError(`${where} returned an unknown key "${key}"; other values of a row belong into metadata`);
    }
    if (value !== undefined && typeof value !== "string") {
      throw new InputError(`${where} returned ${key} of type ${typeof value}; it must be a text`);
    }
  }
  if (metadata !== undefined && (typeof metadata !== "object" || metadata === null)) {
    throw new InputError(`${where} returned metadata of type ${typeof metadata}; it must be an object`);
  }
  if (Array.isArray(prompt)) checkMessages(prompt, `${where} prompt`);
  else if (typeof prompt !== "string") {
    throw new InputError(
      `${where} returned prompt of type ${typeof prompt}; it must be a text or a list of {role, content}`,
    );
  }
  return mapped as MappedRow;
}

/** Names of files without directory and ending; equal ones are told apart by their number. */
function fileLabels(files: readonly string[]): string[] {
  const names = files.map((file) => basename(file, extname(file)));
  return names.map((name, index) => {
    const earlier = names.slice(0, index).filter((other) => other === name).length;
    return earlier === 0 ? name : `${name}@${earlier + 1}`;
  });
}

const SHOWN = 5;

function refuseRepeatedIds(questions: readonly LocatedQuestion[]): void {
  const first = new Map<string, string>();
  const repeated: string[] = [];
  for (const { question, location } of questions) {
    const before = first.get(question.id);
    if (before === undefined) first.set(question.id, location);
    else repeated.push(`"${question.id}" at ${before} and ${location}`);
  }
  if (repeated.length === 0) return;
  const more = repeated.length > SHOWN ? `, and ${repeated.length - SHOWN} more` : "";
  throw new InputError(`ids must be unique: ${repeated.slice(0, SHOWN).join(", ")}${more}`);
}

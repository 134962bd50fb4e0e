/** The tokenizer files of an HF directory, read and checked. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../config/errors.js";

export interface TokenizerFiles {
  readonly directory: string;
  /** Parsed tokenizer.json. */
  readonly tokenizer: Readonly<Record<string, unknown>>;
  /** Parsed tokenizer_config.json, with what special_tokens_map.json adds; empty if there is none. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Source of the chat template, null if the model has none. */
  readonly chatTemplate: string | null;
  /** `eos_token_id` of generation_config.json and config.json. */
  readonly eosTokenIds: readonly number[];
}

/** Reads a directory with tokenizer.json. Throws InputError that names the file. */
export function readTokenizerFiles(directory: string): TokenizerFiles {
  const tokenizer = readJson(directory, "tokenizer.json");
  if (tokenizer === undefined) {
    throw new InputError(
      `${join(directory, "tokenizer.json")}: no such file; a tokenizer in the Hugging Face "fast" format is needed. Set tokenizer.path to a directory that has one`,
    );
  }
  const config = {
    ...readJson(directory, "special_tokens_map.json"),
    ...readJson(directory, "tokenizer_config.json"),
  };
  return {
    directory,
    tokenizer,
    config,
    chatTemplate: readText(directory, "chat_template.jinja") ?? templateOf(directory, config.chat_template),
    eosTokenIds: [
      ...new Set(["generation_config.json", "config.json"].flatMap((name) => eosIds(readJson(directory, name)))),
    ],
  };
}

/** `eos_token_id` is a number, a list, or null. */
function eosIds(config: Readonly<Record<string, unknown>> | undefined): number[] {
  const value = config?.eos_token_id;
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id));
}

/** A template is a string, or a list of {name, template} of which "default" counts. */
function templateOf(directory: string, value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    const entries = value as { name?: unknown; template?: unknown }[];
    const chosen = entries.find((entry) => entry.name === "default") ?? (entries.length === 1 ? entries[0] : undefined);
    if (typeof chosen?.template === "string") return chosen.template;
    const names = entries.map((entry) => String(entry.name)).join(", ");
    throw new InputError(
      `${join(directory, "tokenizer_config.json")}: chat_template lists ${names || "nothing"}, none called "default"`,
    );
  }
  throw new InputError(
    `${join(directory, "tokenizer_config.json")}: chat_template must be a text or a list of {name, template}`,
  );
}

function readText(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new InputError(`${join(directory, name)}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function readJson(directory: string, name: string): Readonly<Record<string, unknown>> | undefined {
  const text = readText(directory, name);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${join(directory, name)}: not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError(`${join(directory, name)}: must hold a JSON object`);
  }
  return value as Readonly<Record<string, unknown>>;
}

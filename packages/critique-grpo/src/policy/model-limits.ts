import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { modelFilesDirectory } from "./adapter-directory.js";

export interface ModelLimits {
  /** Tokens of prompt and response together; infinite where only the opened policy can tell. */
  readonly contextLength: number;
  readonly vocabularySize?: number;
}

/**
 * What the configuration and config.json allow, read without the weights. Throws InputError that names the file and
 * the key. Of a model that is not on this machine only what the configuration says is known.
 */
export function readModelLimits(engine: RunConfig["engine"]): ModelLimits {
  const configured = engine.contextLength ?? Number.POSITIVE_INFINITY;
  if (engine.type !== "embedded") return { contextLength: configured };
  const { model } = engine;
  const path = typeof model === "string" ? join(modelFilesDirectory(model), "config.json") : model.config;
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = missing ? "no such file; a Hugging Face model directory is needed" : (error as Error).message;
    throw new InputError(`${path}: ${reason}`, { cause: error });
  }
  const number = (key: string): number => {
    const value = config?.[key];
    if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
    throw new InputError(`${path}: ${key} must be a positive whole number (is ${JSON.stringify(value) ?? "missing"})`);
  };
  return {
    contextLength: Math.min(configured, number("max_position_embeddings")),
    vocabularySize: number("vocab_size"),
  };
}

/** PEFT adapter directories in place of model directories: tokenizer and config.json are the base model's. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/**
 * The directory that has config.json and tokenizer for a model directory: the same, or the base model's where it holds a
 * PEFT adapter alone. An adapter that does not name a directory is left to the engine, which says what is wrong with it.
 */
export function modelFilesDirectory(directory: string): string {
  const description = join(directory, "adapter_config.json");
  if (existsSync(join(directory, "config.json")) || !existsSync(description)) return directory;
  try {
    const { base_model_name_or_path: base } = JSON.parse(readFileSync(description, "utf8")) as Record<string, unknown>;
    return typeof base === "string" ? resolve(directory, base) : directory;
  } catch {
    return directory;
  }
}

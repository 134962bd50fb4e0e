/** Loads the TypeScript modules that stand next to a YAML file: rewards, critics, data maps. */
import { existsSync } from "node:fs";
import { createJiti } from "jiti";
import * as define from "./define.js";
import { InputError } from "./errors.js";
import { didYouMean } from "./nearest.js";

export interface UserFunctionRequest {
  /** Absolute path of the module. */
  readonly file: string;
  /** Names of exports that are taken, in order of preference; the default export is the last choice. */
  readonly names: readonly string[];
  /** What the function is for, e.g. "reward": used in messages. */
  readonly purpose: string;
  /** Shown where the export is missing, e.g. `export default defineReward(({ response }) => …)`. */
  readonly example: string;
}

/** Any function; the caller checks what it returns at each call. */
export type UserFunction = (...inputs: never[]) => unknown;

/**
 * The exports of a user's module. It may be TypeScript or JavaScript and may import "critique-grpo" for the typed
 * helpers without having it installed. Throws InputError if the file is missing or does not load.
 */
export async function loadUserModule(file: string, purpose = "user"): Promise<Readonly<Record<string, unknown>>> {
  if (!existsSync(file)) throw new InputError(`${file}: no such ${purpose} module`);
  try {
    // Helpers come from this very copy: a run outside any node_modules works, and nothing is loaded twice.
    const jiti = createJiti(import.meta.url, {
      virtualModules: { "critique-grpo": define },
      interopDefault: false,
      fsCache: false,
    });
    const module = await jiti.import<Record<string, unknown>>(file);
    return { ...module, ...("default" in module ? { default: defaultExport(module) } : {}) };
  } catch (error) {
    throw new InputError(`${file}: the ${purpose} module does not load: ${firstLine(error)}`, { cause: error });
  }
}

/** The function that a user's module exports. Throws InputError if there is none. */
export async function loadUserFunction(request: UserFunctionRequest): Promise<UserFunction> {
  const { file, purpose } = request;
  const module = await loadUserModule(file, purpose);
  for (const name of [...request.names, "default"]) {
    const candidate = module[name];
    if (candidate === undefined) continue;
    if (typeof candidate === "function") return candidate as UserFunction;
    throw new InputError(
      `${file}: export "${name}" must be a function (the ${purpose}), it is ${kindOf(candidate)}; write: ${request.example}`,
    );
  }
  const exported = Object.keys(module).filter((name) => name !== "__esModule");
  const hint = request.names.map((name) => didYouMean(name, exported)).find((text) => text !== "") ?? "";
  const found = exported.length > 0 ? `it exports ${exported.join(", ")}${hint}` : "it exports nothing";
  throw new InputError(`${file}: no ${purpose} function is exported (${found}); write: ${request.example}`);
}

/** A CommonJS module's `module.exports = { default: f }` counts as well. */
function defaultExport(module: Record<string, unknown>): unknown {
  const value = module.default;
  if (typeof value === "object" && value !== null && "default" in value) return value.default;
  return value;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return `a ${typeof value}`;
}

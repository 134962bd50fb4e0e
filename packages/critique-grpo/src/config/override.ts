/** `--set a.b=c`: the key is checked against the schema, the value takes the type that the schema wants. */
import { parse as parseYaml } from "yaml";
import type { z } from "zod";
import { ConfigError } from "./errors.js";
import { didYouMean } from "./nearest.js";
import { acceptedKinds, keyPaths, schemasAt, type ValueKind } from "./schema-walk.js";

export interface Override {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
  /** As the user wrote it. */
  readonly text: string;
}

/** Parses `key.path=value`. Throws ConfigError on an unknown key or a missing `=`. */
export function parseOverride(schema: z.core.$ZodType, text: string): Override {
  const location = `--set ${text}`;
  const separator = text.indexOf("=");
  if (separator <= 0) {
    throw new ConfigError([{ path: [], location, message: "must be key=value, e.g. --set sampling.temperature=0.8" }]);
  }
  const path = text
    .slice(0, separator)
    .trim()
    .split(".")
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key));
  const found = schemasAt(schema, path);
  if (!found.found) {
    const parent = path.slice(0, found.depth);
    const key = String(path[found.depth]);
    throw new ConfigError([
      { path: [...parent, key], location, message: `unknown key${hintForKey(schema, parent, key, found.known)}` },
    ]);
  }
  const kinds = new Set(found.schemas.flatMap((candidate) => [...acceptedKinds(candidate)]));
  return { path, value: parseValue(text.slice(separator + 1), kinds), text };
}

/** ` did you mean` for a key that does not exist there: a near name at that place, else the same name elsewhere. */
export function hintForKey(
  schema: z.core.$ZodType,
  parent: readonly (string | number)[],
  key: string,
  known: readonly string[],
): string {
  const near = didYouMean(key, known);
  if (near !== "") return near;
  const elsewhere = keyPaths(schema).find((path) => path.at(-1) === key && path.length !== parent.length + 1);
  if (elsewhere) return `; did you mean "${elsewhere.join(".")}"?`;
  return known.length > 0 ? `; known keys: ${known.join(", ")}` : "";
}

function parseValue(text: string, kinds: ReadonlySet<ValueKind>): unknown {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch {
    return text;
  }
  if (kinds.size === 0 || kinds.has("any")) return parsed;
  const kind = kindOf(parsed);
  // A plain string is taken letter for letter: YAML would cut it at " #".
  if (kind === "string") return /^\s*["']/.test(text) ? parsed : text;
  if (kinds.has(kind)) return parsed;
  return kinds.has("string") ? text : parsed;
}

function kindOf(value: unknown): ValueKind {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as ValueKind;
}

/** Looks into zod schemas: which keys exist, what a value may be, where the paths are. */
import type { z } from "zod";
import { type PathKind, pathKinds } from "./path-kinds.js";

type Schema = z.core.$ZodType;
type Definition = z.core.$ZodTypes["_zod"]["def"];

function definition(schema: Schema): Definition {
  return (schema as z.core.$ZodTypes)._zod.def;
}

/** The schema without `optional`, `default`, `prefault`, `nullable`. */
export function unwrap(schema: Schema): Schema {
  const def = definition(schema);
  switch (def.type) {
    case "optional":
    case "default":
    case "prefault":
    case "nullable":
      return unwrap(def.innerType);
    default:
      return schema;
  }
}

/** The alternatives of a union, flattened; the schema itself if it is none. */
export function alternatives(schema: Schema): Schema[] {
  const inner = unwrap(schema);
  const def = definition(inner);
  return def.type === "union" ? def.options.flatMap(alternatives) : [inner];
}

/** Keys of the object (all alternatives of a union together) with their schemas. */
export function shapeOf(schema: Schema): Map<string, Schema[]> {
  const keys = new Map<string, Schema[]>();
  for (const alternative of alternatives(schema)) {
    const def = definition(alternative);
    if (def.type !== "object") continue;
    for (const [key, child] of Object.entries(def.shape)) keys.set(key, [...(keys.get(key) ?? []), child]);
  }
  return keys;
}

/** What a literal may be; nothing for any other schema. */
export function literalValues(schema: Schema): string[] {
  const def = definition(unwrap(schema));
  return def.type === "literal" ? def.values.map(String) : [];
}

/** True where keys are free (a record) or nothing is known (unknown). */
function isOpen(schema: Schema): boolean {
  return alternatives(schema).some((alternative) =>
    ["record", "unknown", "any"].includes(definition(alternative).type),
  );
}

export type SchemaAtPath =
  | { readonly found: true; readonly schemas: readonly Schema[] }
  /** `depth` keys exist; `known` are the names that could follow. */
  | { readonly found: false; readonly depth: number; readonly known: readonly string[] };

/** Every schema that a value at this path may have. */
export function schemasAt(root: Schema, path: readonly (string | number)[]): SchemaAtPath {
  let current: Schema[] = [root];
  for (const [depth, key] of path.entries()) {
    if (current.some(isOpen)) return { found: true, schemas: [] };
    const next = current.flatMap((schema) =>
      alternatives(schema).flatMap((alternative): Schema[] => {
        const def = definition(alternative);
        if (def.type === "array") return /^\d+$/.test(String(key)) ? [def.element] : [];
        return def.type === "object" && Object.hasOwn(def.shape, key) ? [def.shape[key]!] : [];
      }),
    );
    if (next.length === 0) {
      return { found: false, depth, known: [...new Set(current.flatMap((schema) => [...shapeOf(schema).keys()]))] };
    }
    current = next;
  }
  return { found: true, schemas: current };
}

export type ValueKind = "string" | "number" | "boolean" | "array" | "object" | "null" | "any";

/** What kinds of value the schema takes. */
export function acceptedKinds(schema: Schema): Set<ValueKind> {
  const def = definition(schema);
  switch (def.type) {
    case "optional":
    case "default":
    case "prefault":
      return acceptedKinds(def.innerType);
    case "nullable":
      return acceptedKinds(def.innerType).add("null");
    case "union":
      return new Set(def.options.flatMap((option) => [...acceptedKinds(option)]));
    case "string":
    case "enum":
      return new Set(["string"]);
    case "literal":
      return new Set(def.values.map((value) => (value === null ? "null" : (typeof value as ValueKind))));
    case "number":
      return new Set(["number"]);
    case "boolean":
      return new Set(["boolean"]);
    case "array":
      return new Set(["array"]);
    case "object":
    case "record":
      return new Set(["object"]);
    default:
      return new Set(["any"]);
  }
}

/** Every path of keys below an object schema (arrays and records are leaves), for hints and documentation. */
export function keyPaths(schema: Schema, prefix: readonly string[] = []): string[][] {
  return [...shapeOf(schema)].flatMap(([key, children]) => {
    const path = [...prefix, key];
    return [path, ...children.flatMap((child) => keyPaths(child, path))];
  });
}

export interface FoundPath {
  readonly path: readonly (string | number)[];
  readonly value: string;
  readonly kind: PathKind;
}

/** Every file-system path in a value that the schema accepts. */
export function findPaths(schema: Schema, value: unknown, at: readonly (string | number)[] = []): FoundPath[] {
  if (value === undefined || value === null) return [];
  return alternatives(schema).flatMap((alternative): FoundPath[] => {
    const kind = pathKinds.get(alternative)?.kind;
    if (kind && typeof value === "string") return [{ path: at, value, kind }];
    const def = definition(alternative);
    if (def.type === "array" && Array.isArray(value)) {
      return value.flatMap((item, index) => findPaths(def.element, item, [...at, index]));
    }
    if (def.type === "object" && typeof value === "object" && !Array.isArray(value)) {
      const record = value as Record<string, unknown>;
      // Of alternatives only the one that the value is.
      const types = def.shape.type === undefined ? [] : literalValues(def.shape.type);
      if (types.length > 0 && !types.includes(String(record.type))) return [];
      return Object.entries(def.shape).flatMap(([key, child]) => findPaths(child, record[key], [...at, key]));
    }
    return [];
  });
}

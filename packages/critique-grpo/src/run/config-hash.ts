/** Whether a checkpoint belongs to a configuration. */
import { createHash } from "node:crypto";

/** A hash that does not depend on the order of keys; `ignored` names top-level keys that do not change the result. */
export function configHash(config: object, ignored: readonly string[]): string {
  const relevant = Object.fromEntries(Object.entries(config).filter(([key]) => !ignored.includes(key)));
  return createHash("sha256")
    .update(JSON.stringify(canonical(relevant)))
    .digest("hex");
}

/** Paths of the values in which two configurations differ, for the error message. */
export function configDifferences(a: unknown, b: unknown, path = ""): string[] {
  if (isObject(a) && isObject(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => configDifferences(a[key], b[key], path === "" ? key : `${path}.${key}`));
  }
  return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b)) ? [] : [path];
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isObject(value)) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.filter((key) => value[key] !== undefined).map((key) => [key, canonical(value[key])]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a checkpoint belongs to a configuration. */
import { createHash } from "node:crypto";

/**
 * A hash that does not depend on the order of keys; `ignored` names keys that do not change the result, a dot reaching
 * into nested ones.
 */
export function configHash(config: object, ignored: readonly string[]): string {
  return createHash("sha256")
    .update(JSON.stringify(canonical(without(config, ignored, ""))))
    .digest("hex");
}

/** Whether a path is one of the keys or lies below one. */
export function isBelow(path: string, keys: readonly string[]): boolean {
  return keys.some((key) => path === key || path.startsWith(`${key}.`));
}

function without(value: unknown, ignored: readonly string[], path: string): unknown {
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, child]) => ({
    key,
    child,
    at: path === "" ? key : `${path}.${key}`,
  }));
  const kept = entries.filter(({ at }) => !isBelow(at, ignored));
  return Object.fromEntries(kept.map(({ key, child, at }) => [key, without(child, ignored, at)]));
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

/** Plain YAML-like values laid over one another. Pure: inputs stay as they are. */

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * `over` on top of `base`: objects key by key, everything else replaced. Two objects with different `type` are
 * alternatives (a shaping, an engine): the upper one replaces the lower one whole.
 */
export function merge(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (!isRecord(base) || !isRecord(over)) return over;
  if (over.type !== undefined && base.type !== undefined && over.type !== base.type) return over;
  const merged = Object.entries(over).map(([key, value]) => [key, merge(getAt(base, [key]), value)] as const);
  return { ...base, ...Object.fromEntries(merged) };
}

/** `value` with what stands at `path` replaced; missing objects are made. */
export function setAt(value: unknown, path: readonly (string | number)[], replacement: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return replacement;
  if (typeof key === "number" && Array.isArray(value)) {
    const copy = [...value];
    copy[key] = setAt(value[key], rest, replacement);
    return copy;
  }
  const record = isRecord(value) ? value : {};
  return { ...record, [key]: setAt(record[key], rest, replacement) };
}

export function getAt(value: unknown, path: readonly (string | number)[]): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as Record<string | number, unknown>)[key];
  }
  return current;
}

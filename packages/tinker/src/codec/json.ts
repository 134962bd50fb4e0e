import { ProtocolError } from "../errors.js";

/** Readers of untrusted JSON: each says where the value was and what was expected. */

export type JsonObject = Readonly<Record<string, unknown>>;

export function asObject(value: unknown, where: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(value, where, "an object");
  return value as JsonObject;
}

export function asArray(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(value, where, "a list");
  return value;
}

export function asString(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrong(value, where, "a string");
  return value;
}

export function asNumber(value: unknown, where: string): number {
  if (typeof value !== "number") throw wrong(value, where, "a number");
  return value;
}

export function asInteger(value: unknown, where: string): number {
  if (!Number.isSafeInteger(value)) throw wrong(value, where, "an integer");
  return value as number;
}

/** A list of numbers; JSON cannot write NaN, so null stands for it. */
export function asNumbers(value: unknown, where: string): number[] {
  return asArray(value, where).map((item) => {
    if (item === null) return Number.NaN;
    if (typeof item !== "number") throw wrong(item, where, "a list of numbers");
    return item;
  });
}

/** Undefined for an absent or null value. */
export function optional<T>(value: unknown, where: string, read: (value: unknown, where: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, where);
}

/** A record of numbers; null entries are left out. */
export function asMetrics(value: unknown, where: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(optional(value, where, asObject) ?? {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    ),
  );
}

function wrong(value: unknown, where: string, expected: string): ProtocolError {
  const text = JSON.stringify(value) ?? String(value);
  return new ProtocolError(
    `${where}: expected ${expected}, found ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`,
  );
}

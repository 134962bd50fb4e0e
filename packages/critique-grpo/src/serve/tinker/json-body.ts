/** Readers of untrusted JSON bodies: each says which key is wrong. */
import { BadRequest } from "../../http/errors.js";

export type JsonObject = Readonly<Record<string, unknown>>;

export function readString(body: JsonObject, key: string): string {
  const value = body[key];
  if (typeof value !== "string" || value === "") throw new BadRequest(`${key}: expected a text`);
  return value;
}

export function optionalString(body: JsonObject, key: string): string | undefined {
  return body[key] === undefined || body[key] === null ? undefined : readString(body, key);
}

export function optionalInteger(body: JsonObject, key: string): number | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new BadRequest(`${key}: expected a whole number of at least 0`);
  return value as number;
}

export function readInteger(body: JsonObject, key: string): number {
  const value = optionalInteger(body, key);
  if (value === undefined) throw new BadRequest(`${key}: expected a whole number`);
  return value;
}

export function optionalBoolean(body: JsonObject, key: string): boolean | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw new BadRequest(`${key}: expected true or false`);
  return value;
}

export function optionalObject(body: JsonObject, key: string): JsonObject | undefined {
  const value = body[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) throw new BadRequest(`${key}: expected an object`);
  return value as JsonObject;
}

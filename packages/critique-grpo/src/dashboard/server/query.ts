/** Parameters of a request, checked. */
import { BadRequest } from "../../http/errors.js";

export function wholeNumber(
  parameters: URLSearchParams,
  name: string,
  { fallback, minimum = 0, maximum = 2 ** 31 }: { fallback: number; minimum?: number; maximum?: number },
): number {
  const text = parameters.get(name);
  if (text === null) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
    throw new BadRequest(`${name} is ${JSON.stringify(text)}; it must be a whole number from ${minimum} to ${maximum}`);
  }
  return value;
}

export function optionalWholeNumber(parameters: URLSearchParams, name: string): number | null {
  return parameters.get(name) === null ? null : wholeNumber(parameters, name, { fallback: 0 });
}

export function oneOf<T extends string>(value: string, values: readonly T[], name: string): T {
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new BadRequest(`${name} is ${JSON.stringify(value)}; it must be one of ${values.join(", ")}`);
  }
  return found;
}

/** A whole number that is part of a path. */
export function pathNumber(text: string, name: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new BadRequest(`${name} is ${JSON.stringify(text)}; it must be a whole number`);
  return Number(text);
}

/** zod's issues in the words of this project: value, rule, remedy. */
import { z } from "zod";
import type { ConfigProblem } from "./errors.js";
import { getAt } from "./merge.js";
import { didYouMean } from "./nearest.js";
import { hintForKey } from "./override.js";
import { alternatives, literalValues, schemasAt, shapeOf } from "./schema-walk.js";

type Issue = z.core.$ZodIssue;
type Path = readonly (string | number)[];

/** One problem for each thing that is wrong; locations are left to the caller. */
export function describeIssues(schema: z.core.$ZodType, input: unknown, issues: readonly Issue[]): ConfigProblem[] {
  return issues.flatMap((issue) => describeIssue(schema, input, issue, []));
}

function describeIssue(schema: z.core.$ZodType, input: unknown, issue: Issue, base: Path): ConfigProblem[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  const value = getAt(input, path);
  const one = (message: string): ConfigProblem[] => [{ path, message }];
  switch (issue.code) {
    case "unrecognized_keys": {
      const at = schemasAt(schema, [...path, "\0"]);
      const known = at.found ? [] : at.known;
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: known.includes(key)
          ? `unknown key with type ${show(getAt(value, ["type"]))}; it belongs to ${typesWithKey(schema, path, key)}`
          : `unknown key${hintForKey(schema, path, key, known)}`,
      }));
    }
    case "invalid_union": {
      if ("discriminator" in issue && issue.discriminator !== undefined) {
        const options = ("options" in issue ? (issue.options ?? []) : []).map(String);
        if (value === undefined) return one(`is missing; it must be one of ${options.join(", ")}`);
        return one(`must be one of ${options.join(", ")} (is ${show(value)})${didYouMean(String(value), options)}`);
      }
      // The alternative that fits best is the one whose own kind is right: its problems are the ones to tell.
      const inside = issue.errors.filter(
        (errors) => !errors.some((e) => e.code === "invalid_type" && e.path.length === 0),
      );
      if (inside.length === 1) return inside[0]!.flatMap((inner) => describeIssue(schema, input, inner, path));
      const wanted = issue.errors.flat().flatMap((e) => (e.code === "invalid_type" ? [article(e.expected)] : []));
      return one(
        value === undefined
          ? missing(schema, path)
          : `must be ${[...new Set(wanted)].join(" or ")} (is ${show(value)})`,
      );
    }
    case "invalid_type":
      if (value === undefined) return one(missing(schema, path));
      if (issue.expected === "int" || (issue.expected === "number" && typeof value === "number")) {
        return one(`must be ${issue.expected === "int" ? "a whole number" : "a finite number"} (is ${show(value)})`);
      }
      return one(`must be ${article(issue.expected)} (is ${show(value)})`);
    case "invalid_value": {
      const options = issue.values.map(String);
      return one(`must be one of ${options.join(", ")} (is ${show(value)})${didYouMean(String(value), options)}`);
    }
    case "too_small":
    case "too_big": {
      const small = issue.code === "too_small";
      const bound = small ? issue.minimum : issue.maximum;
      if (issue.origin === "array")
        return one(`must have at ${small ? "least" : "most"} ${bound} entr${bound === 1 ? "y" : "ies"}`);
      if (issue.origin === "string") return one("must not be empty");
      const rule = issue.inclusive
        ? `at ${small ? "least" : "most"} ${bound}`
        : `${small ? "above" : "below"} ${bound}`;
      return one(`must be ${rule} (is ${show(value)})`);
    }
    default:
      return one(issue.message);
  }
}

/** Of the alternatives at a path, the types that have this key. */
function typesWithKey(schema: z.core.$ZodType, path: Path, key: string): string {
  const at = schemasAt(schema, path);
  const options = at.found ? at.schemas.flatMap(alternatives) : [];
  const types = options
    .filter((option) => shapeOf(option).has(key))
    .flatMap((option) => shapeOf(option).get("type") ?? [])
    .flatMap((type) => literalValues(type));
  return types.join(", ");
}

function missing(schema: z.core.$ZodType, path: Path): string {
  const at = schemasAt(schema, path);
  const description = at.found && at.schemas[0] ? z.globalRegistry.get(at.schemas[0])?.description : undefined;
  return description === undefined ? "is missing" : `is missing (${description})`;
}

function article(kind: string): string {
  switch (kind) {
    case "array":
      return "a list";
    case "object":
    case "record":
      return "a mapping";
    case "string":
      return "a text";
    case "int":
      return "a whole number";
    case "boolean":
      return "true or false";
    default:
      return `a ${kind}`;
  }
}

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** Options of built-in rewards come from YAML: checked by name and kind, with an error that says what would be right. */
import { InputError } from "../../config/errors.js";

type OptionRule =
  | { readonly type: "enum"; readonly values: readonly string[]; readonly default: string }
  | { readonly type: "boolean"; readonly default: boolean }
  /** Without a default the option is required. */
  | { readonly type: "number"; readonly minimum: number; readonly default?: number }
  | { readonly type: "pattern" };

type OptionValue<R extends OptionRule> = R extends { type: "enum" }
  ? string
  : R extends { type: "boolean" }
    ? boolean
    : R extends { type: "number" }
      ? number
      : RegExp | undefined;

/** @throws InputError that names the reward, the option and what is allowed. */
export function readOptions<const R extends Readonly<Record<string, OptionRule>>>(
  reward: string,
  options: Readonly<Record<string, unknown>>,
  rules: R,
): { readonly [K in keyof R]: OptionValue<R[K]> } {
  for (const key of Object.keys(options)) {
    if (!(key in rules)) {
      throw new InputError(`Unknown option "${key}" of reward "${reward}"; it knows ${Object.keys(rules).join(", ")}`);
    }
  }
  const result: Record<string, unknown> = {};
  for (const [key, rule] of Object.entries(rules))
    result[key] = readOption(`Option "${key}" of reward "${reward}"`, options[key], rule);
  return result as { readonly [K in keyof R]: OptionValue<R[K]> };
}

function readOption(name: string, value: unknown, rule: OptionRule): unknown {
  switch (rule.type) {
    case "enum":
      if (value === undefined) return rule.default;
      if (typeof value === "string" && rule.values.includes(value)) return value;
      throw new InputError(`${name} is ${JSON.stringify(value)}; it must be one of ${rule.values.join(", ")}`);
    case "boolean":
      if (value === undefined) return rule.default;
      if (typeof value === "boolean") return value;
      throw new InputError(`${name} is ${JSON.stringify(value)}; it must be true or false`);
    case "number": {
      const number = value ?? rule.default;
      if (typeof number === "number" && Number.isFinite(number) && number >= rule.minimum) return number;
      const found = value === undefined ? "missing" : JSON.stringify(value);
      throw new InputError(`${name} is ${found}; it must be a number of at least ${rule.minimum}`);
    }
    case "pattern":
      if (value === undefined) return undefined;
      if (typeof value !== "string")
        throw new InputError(`${name} is ${JSON.stringify(value)}; it must be a regular expression`);
      try {
        return new RegExp(value);
      } catch (error) {
        throw new InputError(`${name} is not a regular expression: ${(error as Error).message}`);
      }
    default:
      throw new RangeError(`Unknown rule ${String(rule satisfies never)}`);
  }
}

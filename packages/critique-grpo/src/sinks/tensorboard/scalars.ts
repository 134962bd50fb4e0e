/** From the records of a run to TensorBoard's tags. Pure. */
import type { EvaluationRecord, MetricsRecord } from "../../run/records.js";
import type { HyperParameter } from "./events.js";

type Values = Record<string, number>;

/** The metrics of docs/metrics.md under their own names. */
export function metricScalars(metrics: Readonly<Record<string, unknown>>): Values {
  const { schemaVersion: _, step: __, time: ___, ...values } = metrics as MetricsRecord;
  return numbers(values);
}

/** `evaluation/<source>/pass@1` and the like; "all" stands for all sources together. */
export function evaluationScalars(result: EvaluationRecord | Readonly<Record<string, unknown>>): Values {
  const sources = Array.isArray(result.sources) ? (result.sources as Readonly<Record<string, unknown>>[]) : [];
  // Of a single source, the whole says it.
  const shown = sources.length > 1 ? [result, ...sources] : [result];
  const values: Values = {};
  for (const source of shown) {
    const { pass1, passAt, majority, greedy, lengths, truncated, meanReward, persistentFailures, macro } = source;
    const named = {
      "pass@1": estimate(pass1),
      ...Object.fromEntries(
        (Array.isArray(passAt) ? (passAt as { k: number; value: number }[]) : [])
          .filter(({ k }) => k > 1)
          .map(({ k, value }) => [`pass@${k}`, value]),
      ),
      ...{ majority: estimate(majority), greedy: estimate(greedy) },
      ...{ truncated, mean_reward: meanReward, persistent_failures: persistentFailures, macro },
      mean_length: (lengths as { mean?: unknown } | undefined)?.mean,
    };
    for (const [name, value] of Object.entries(numbers(named))) {
      values[`evaluation/${String(source.dataSource)}/${name}`] = value;
    }
  }
  return values;
}

/** A configuration as flat names; lists as JSON, what is not set is left out. */
export function hyperParameters(config: unknown, prefix = ""): Record<string, HyperParameter> {
  const flat: Record<string, HyperParameter> = {};
  for (const [key, value] of Object.entries((config ?? {}) as Record<string, unknown>)) {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") flat[name] = value;
    else if (Array.isArray(value)) flat[name] = JSON.stringify(value);
    else if (typeof value === "object" && value !== null) Object.assign(flat, hyperParameters(value, name));
  }
  return flat;
}

function estimate(value: unknown): unknown {
  return (value as { value?: unknown } | undefined)?.value;
}

function numbers(values: Readonly<Record<string, unknown>>): Values {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}

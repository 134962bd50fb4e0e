/** Which runs are repetitions of one another: the same label, or the same configuration but for the keys that are ignored. */
import { configDifferences, configHash } from "../run/config-hash.js";
import type { ComparedRun } from "./series.js";

export interface RunGroup {
  readonly label: string;
  readonly runs: readonly ComparedRun[];
}

/** Keys in which repetitions of a run differ. */
export const REPETITION_KEYS: readonly string[] = ["seed", "runDirectory", "checkpoint", "engine.threads"];
/** Longest list of differing keys in a label. */
const SHOWN_DIFFERENCES = 3;

/** A group for each label, in the order of first appearance. */
export function groupByLabel(runs: readonly { readonly label: string; readonly run: ComparedRun }[]): RunGroup[] {
  const labels = [...new Set(runs.map(({ label }) => label))];
  return labels.map((label) => ({ label, runs: runs.filter((run) => run.label === label).map(({ run }) => run) }));
}

/**
 * A group for each configuration, `ignored` keys apart (`a.b` reaches into sections). A group is called what its runs are
 * called if that is one name and no other group's; otherwise by the keys in which it differs from the first group.
 */
export function groupByConfig(runs: readonly ComparedRun[], ignored: readonly string[] = REPETITION_KEYS): RunGroup[] {
  const groups = new Map<string, { readonly config: object; readonly runs: ComparedRun[] }>();
  for (const run of runs) {
    const config = without(run.config, ignored) as object;
    const hash = configHash(config, []);
    const group = groups.get(hash);
    if (group) group.runs.push(run);
    else groups.set(hash, { config, runs: [run] });
  }
  const found = [...groups.values()];
  const names = found.map(({ runs }) => (new Set(runs.map(({ name }) => name)).size === 1 ? runs[0]!.name : null));
  return found.map(({ config, runs }, index) => {
    const name = names[index]!;
    const unique = name !== null && names.filter((other) => other === name).length === 1;
    return { label: unique ? name : differenceLabel(config, found[0]!.config, index), runs };
  });
}

function differenceLabel(config: object, first: object, index: number): string {
  const differing = configDifferences(config, first);
  if (differing.length === 0) return `group ${index + 1}`;
  const shown = differing.slice(0, SHOWN_DIFFERENCES).map((path) => `${path}=${JSON.stringify(at(config, path))}`);
  return [...shown, ...(differing.length > SHOWN_DIFFERENCES ? ["…"] : [])].join(" ");
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** A copy without these keys. */
function without(value: unknown, paths: readonly string[], prefix = ""): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !paths.includes(prefix + key))
      .map(([key, inner]) => [key, without(inner, paths, `${prefix}${key}.`)]),
  );
}

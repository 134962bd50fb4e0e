/** Small things that several views show. */
import type { ComponentChildren } from "preact";
import { GROUP_FLAGS, type GroupFlag, type IndexProgress } from "../../contract/groups.js";
import type { RunStateName } from "../../contract/runs.js";

const STATE_HELP: Readonly<Record<RunStateName, string>> = {
  running: "The process lives: its heartbeat is fresh",
  finished: "All steps are done",
  interrupted: "Stopped on request, with a checkpoint",
  failed: "Ended with an error",
  crashed: "The process is gone without a word",
  unknown: "There is no status file",
};

export function StateBadge({ state }: { readonly state: RunStateName }) {
  return (
    <span class={`state state-${state}`} title={STATE_HELP[state]}>
      <i />
      {state}
    </span>
  );
}

export const FLAG_TEXTS: Readonly<Record<GroupFlag, { readonly label: string; readonly help: string }>> = {
  fixed: { label: "fixed", help: "A refinement of a wrong answer is right" },
  broken: { label: "broken", help: "A refinement of a right answer is wrong" },
  "all-wrong": { label: "all wrong", help: "No first answer is right" },
  "all-right": { label: "all right", help: "Every first answer is right" },
  mixed: { label: "mixed", help: "Some first answers are right" },
  truncated: { label: "truncated", help: "A response was cut off at its longest length" },
  "critic-failed": { label: "critic failed", help: "A critique fell back to the plain sentence" },
  "critic-disagrees": { label: "critic disagrees", help: "A critic's verdict is not the verifier's" },
  leak: { label: "leak", help: "A critique gives the gold answer away" },
  "reward-failed": { label: "reward failed", help: "A response could not be scored and counts as wrong" },
  "refinement-skipped": { label: "not refined", help: "A response could not be refined" },
};

/** The same order everywhere; rare ones only where they occur. */
export function shownFlags(counts: Readonly<Record<GroupFlag, number>>): GroupFlag[] {
  const always: readonly GroupFlag[] = ["fixed", "broken", "all-wrong", "truncated", "critic-failed"];
  return GROUP_FLAGS.filter((flag) => always.includes(flag) || counts[flag] > 0);
}

export function FlagBadges({ flags }: { readonly flags: readonly GroupFlag[] }) {
  return (
    <>
      {flags.map((flag) => (
        <span key={flag} class={`flag flag-${flag}`} title={FLAG_TEXTS[flag].help}>
          {FLAG_TEXTS[flag].label}
        </span>
      ))}
    </>
  );
}

export function Verdict({ correct }: { readonly correct: boolean }) {
  return <span class={correct ? "verdict right" : "verdict wrong"}>{correct ? "✓ right" : "✗ wrong"}</span>;
}

export function Loading() {
  return (
    <p class="muted padded" role="status">
      Loading …
    </p>
  );
}

export function Problem({ text }: { readonly text: string }) {
  return (
    <p class="problem" role="alert">
      {text}
    </p>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="muted padded">{children}</p>;
}

export function IndexNotice({ index }: { readonly index: IndexProgress }) {
  return (
    <>
      {!index.done && (
        <p class="notice" role="status">
          Reading rollouts: step {index.indexedSteps.toLocaleString("en-US")} of{" "}
          {index.totalSteps.toLocaleString("en-US")}
          <progress value={index.indexedSteps} max={index.totalSteps} />
        </p>
      )}
      {index.damagedLines > 0 && <p class="notice">{index.damagedLines} lines are not JSON and are left out.</p>}
    </>
  );
}

/** A row of numbers with names. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

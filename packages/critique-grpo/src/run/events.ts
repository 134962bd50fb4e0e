/** What a run tells while it goes: one stream of events, any number of sinks (run directory, progress, dashboard). */
import type { TrainingGroup } from "../rollout/records.js";

export type RunPhase =
  | "sample"
  | "reward"
  | "critique"
  | "refine"
  | "reference"
  | "update"
  | "evaluate"
  | "checkpoint"
  | "export";

export type RunEvent =
  | {
      readonly type: "run-started";
      readonly task: "train" | "sft";
      /** Steps done already: above 0 in a resumed run. */
      readonly step: number;
      readonly steps: number;
      readonly resumed: boolean;
    }
  /** The run turned to another phase of the step in progress; for live displays, not kept. */
  | { readonly type: "phase"; readonly step: number; readonly phase: RunPhase }
  | {
      readonly type: "step-finished";
      readonly step: number;
      readonly steps: number;
      readonly metrics: Readonly<Record<string, number>>;
      /** Empty in supervised training. */
      readonly groups: readonly TrainingGroup[];
    }
  | {
      readonly type: "evaluation";
      readonly step: number;
      /** Data; must survive JSON. */
      readonly result: Readonly<Record<string, unknown>>;
    }
  | { readonly type: "checkpoint"; readonly step: number; readonly directory: string }
  | { readonly type: "warning"; readonly step: number; readonly message: string }
  | { readonly type: "run-finished"; readonly step: number; readonly model: string | null }
  /** Stopped on request, with a checkpoint. */
  | { readonly type: "run-interrupted"; readonly step: number }
  | { readonly type: "run-failed"; readonly step: number; readonly message: string };

/** Called with one event after another; the run waits for it. A sink that throws ends the run. */
export type EventSink = (event: RunEvent) => void | Promise<void>;

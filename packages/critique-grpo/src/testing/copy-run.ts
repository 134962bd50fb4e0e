/** A run directory as training writes it: the copy task, for tests of what reads run directories. */
import { type RunConfigInput, runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import type { EventSink } from "../run/events.js";
import { train } from "../trainer/train.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "./copy-task.js";

export interface CopyRunOptions {
  readonly overrides?: Partial<RunConfigInput>;
  readonly resume?: boolean;
  readonly sinks?: readonly EventSink[];
  readonly signal?: AbortSignal;
}

export async function writeCopyRun(runDirectory: string, options: CopyRunOptions = {}): Promise<void> {
  const { overrides, resume, sinks, signal } = options;
  await train({
    config: runSchema.parse(copyConfig(overrides)),
    policy: copyPolicy(),
    codec: copyCodec,
    questions: copyQuestions,
    rewards: copyRewards,
    critic: createProgramCritic(copyCritique),
    runDirectory,
    resume,
    sinks,
    signal,
  });
}

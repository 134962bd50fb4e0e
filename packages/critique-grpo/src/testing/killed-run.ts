/** A program for resume.test.ts: trains into a directory and kills itself with SIGKILL at the event it is told. */
import { runSchema } from "../config/schema.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import type { RunEvent } from "../run/events.js";
import { train } from "../trainer/train.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "./copy-task.js";

export const killedRunConfig = runSchema.parse(copyConfig({ steps: 7, checkpoint: { every: 2 } }));

/** `kill` is "type step" of an event, or "phase step", or "never". */
export async function trainUntilKilled(runDirectory: string, kill: string, resume: boolean): Promise<void> {
  const sink = (event: RunEvent) => {
    const name = event.type === "phase" ? event.phase : event.type;
    if (`${name} ${event.step}` === kill) process.kill(process.pid, "SIGKILL");
  };
  await train({
    config: killedRunConfig,
    policy: copyPolicy(),
    codec: copyCodec,
    questions: copyQuestions,
    rewards: copyRewards,
    critic: createProgramCritic(copyCritique),
    runDirectory,
    resume,
    sinks: [sink],
  });
}

const [directory, kill, resume] = process.argv.slice(2);
if (process.argv[1]?.endsWith("killed-run.ts") && directory !== undefined && kill !== undefined) {
  await trainUntilKilled(directory, kill, resume === "resume");
}

/** The supervised warm-up of one seed: from random weights to a model that adds digit by digit and follows critiques. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type EvaluationOptions, encodePair, loadTextCodec, openPolicy, sft } from "critique-grpo";
import { examineWarmUp, type GateResult } from "./gate.js";
import { type Examinee, measure, type QuestionSets } from "./measure.js";
import { type WarmUpPlan, warmUpOptimizer } from "./plan.js";
import type { Progress } from "./progress.js";
import type { Measurement } from "./summary.js";
import { writeModelFiles } from "./tokenizer.js";
import { warmUpExamples } from "./warmup.js";

export interface WarmUpTask {
  readonly seed: number;
  /** Of the seed; the model comes to `<directory>/model`. */
  readonly directory: string;
  readonly plan: WarmUpPlan;
  readonly sets: QuestionSets;
  readonly score: EvaluationOptions["score"];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface WarmUpResult {
  /** HF model directory. */
  readonly model: string;
  readonly gate: GateResult;
  readonly steps: number;
  readonly measurement: Measurement;
  readonly seconds: number;
}

/** @throws the signal's reason if it aborts. */
export async function trainWarmUp(task: WarmUpTask): Promise<WarmUpResult> {
  const { seed, directory, plan, sets, score, progress, signal } = task;
  const start = performance.now();
  const fresh = join(directory, "fresh-model");
  await mkdir(fresh, { recursive: true });
  await writeModelFiles(fresh, { config: true });
  const codec = loadTextCodec(fresh);
  const policy = await openPolicy({
    type: "embedded",
    model: { config: join(fresh, "config.json"), seed },
  });
  try {
    const examinee: Examinee = { policy, codec, score, signal };
    let steps = 0;
    let gate: GateResult;
    for (let extension = 0; ; extension++) {
      const first = extension === 0;
      const offset = steps;
      const result = await sft({
        policy,
        config: {
          seed,
          steps: first ? plan.steps : plan.extensionSteps,
          batchSize: plan.batchSize,
          optimizer: warmUpOptimizer(first),
          checkpoint: { every: 0, keep: 1 },
        },
        pairs: (step) =>
          warmUpExamples(plan.batchSize, seed, offset + step).map((example) => encodePair(codec, example)),
        runDirectory: join(directory, first ? "warm-up" : `warm-up-extension-${extension}`),
        tokenizerDirectory: fresh,
        sinks: [progress.sink(`seed ${seed} · warm-up${first ? "" : `, extension ${extension}`}`)],
        signal,
      });
      if (result.interrupted) signal.throwIfAborted();
      steps += result.step;
      gate = await examineWarmUp(examinee, seed);
      if (gate.converged || extension === plan.maxExtensions) break;
      progress.say(`seed ${seed} · not converged after ${steps} steps, going on: ${describeGate(gate)}`);
    }
    const model = join(directory, "model");
    await mkdir(model);
    await policy.exportModel(model);
    await writeModelFiles(model, { config: false });
    const measurement = await measure(examinee, sets, seed);
    return { model, gate, steps, measurement, seconds: (performance.now() - start) / 1000 };
  } finally {
    await policy.close();
  }
}

export function describeGate(gate: GateResult): string {
  const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
  return [
    `right without carries ${percent(gate.withoutCarries)}`,
    `follows critiques ${percent(gate.followsStepByStep)} step by step, ${percent(gate.followsGroundTruth)} ground truth`,
    `right digit ${percent(gate.rightDigit)}, after a carry ${percent(gate.rightDigitAfterCarry)}`,
  ].join("; ");
}

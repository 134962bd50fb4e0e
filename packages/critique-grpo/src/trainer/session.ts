/** The frame of a training run, shared by train() and sft(): events, checkpoints, evaluation, interruption, export. */

import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import type { Policy } from "../policy/policy.js";
import type { TrainingGroup } from "../rollout/records.js";
import type { EventSink, RunEvent, RunPhase } from "../run/events.js";
import { RunDirectory } from "../run/run-directory.js";
import { tensorBoardSink } from "../sinks/tensorboard/tensorboard.js";
import type { EvaluationHook, TrainResult } from "./train.js";

/** Where a run stands; all of it is in every checkpoint. */
export interface Progress {
  step: number;
  optimizerSteps: number;
  generatedTokens: number;
  /** −1 before the first evaluation. */
  evaluatedStep: number;
}

export interface SessionOptions {
  readonly task: "train" | "sft";
  readonly config: {
    readonly checkpoint: { readonly every: number; readonly keep: number };
    readonly runDirectory?: string | undefined;
    readonly logging?: { readonly tensorboard: boolean } | undefined;
  };
  readonly steps: number;
  readonly volatileKeys: readonly string[];
  readonly policy: Policy;
  readonly runDirectory?: string | undefined;
  readonly resume?: boolean | undefined;
  readonly tokenizerDirectory?: string | undefined;
  readonly sinks?: readonly EventSink[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Files that make a tokenizer of an HF model directory. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
];

export class RunSession {
  readonly progress: Progress = { step: 0, optimizerSteps: 0, generatedTokens: 0, evaluatedStep: -1 };
  readonly #options: SessionOptions;
  readonly #directory: RunDirectory | null;
  readonly #openWarnings: string[] = [];
  /** Step of the newest checkpoint of this process. */
  #savedStep = -1;
  /** Of a sink that was not waited for. */
  #sinkFailure: { readonly error: unknown } | null = null;

  private constructor(options: SessionOptions, directory: RunDirectory | null) {
    this.#options = options;
    this.#directory = directory;
  }

  /** Opens the run directory; nothing is changed where it does not fit the options. */
  static async open(options: SessionOptions): Promise<RunSession> {
    const { config, task, steps, volatileKeys } = options;
    const runDirectory = options.runDirectory ?? config.runDirectory;
    const resume = options.resume ?? false;
    if (runDirectory === undefined) {
      if (resume) throw new InputError("resume needs runDirectory: the run to continue");
      return new RunSession(options, null);
    }
    const warnings: string[] = [];
    const openOptions = { config, task, steps, volatileKeys, resume };
    const directory = await RunDirectory.open(runDirectory, openOptions, (message) => warnings.push(message));
    const board = config.logging?.tensorboard === true ? [tensorBoardSink(directory.path)] : [];
    const session = new RunSession({ ...options, sinks: [...board, ...(options.sinks ?? [])] }, directory);
    session.#openWarnings.push(...warnings);
    return session;
  }

  /**
   * Runs the loop between the first and the last event, in a resumed run from the state of the newest checkpoint. An
   * abort becomes a checkpoint, an error a `run-failed`.
   */
  async run(loop: (progress: Progress) => Promise<TrainResult["metrics"]>): Promise<TrainResult> {
    const { task, steps, resume = false, signal } = this.#options;
    const { progress } = this;
    let metrics: TrainResult["metrics"] = null;
    try {
      const checkpoint = this.#directory?.checkpoint ?? null;
      if (checkpoint !== null) await this.#restore(checkpoint);
      await this.#emit({ type: "run-started", task, step: progress.step, steps, resumed: resume });
      for (const message of this.#openWarnings) await this.#emit({ type: "warning", step: progress.step, message });
      try {
        signal?.throwIfAborted();
        metrics = await loop(progress);
      } catch (error) {
        if (!isAbort(error, signal)) throw error;
        await this.#saveCheckpoint();
        await this.#emit({ type: "run-interrupted", step: progress.step });
        return { step: progress.step, interrupted: true, metrics, model: null };
      }
      await this.#saveCheckpoint();
      const model = await this.#exportModel();
      await this.#emit({ type: "run-finished", step: progress.step, model });
      return { step: progress.step, interrupted: false, metrics, model };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      await this.#emit({ type: "run-failed", step: progress.step, message }).catch(() => {
        // The first error is the one to tell.
      });
      throw error;
    } finally {
      await this.#directory?.close();
    }
  }

  /** Tells sinks without waiting for them: phases are for live displays. A sink that fails ends the run at the next event. */
  phase(phase: RunPhase): void {
    this.#emit({ type: "phase", step: this.progress.step, phase }).catch((error: unknown) => {
      this.#sinkFailure ??= { error };
    });
  }

  /** Counts the step, then records it. The step is whole even if the signal is aborted now. */
  async finishStep(
    metrics: Readonly<Record<string, number>>,
    groups: readonly TrainingGroup[],
    warnings: readonly string[],
  ): Promise<void> {
    const step = ++this.progress.step;
    for (const message of warnings) await this.#emit({ type: "warning", step, message });
    await this.#emit({ type: "step-finished", step, steps: this.#options.steps, metrics, groups });
  }

  async checkpointIfDue(every: number): Promise<void> {
    if (every > 0 && this.progress.step % every === 0) await this.#saveCheckpoint();
    this.#options.signal?.throwIfAborted();
  }

  /**
   * Evaluates before the first step, after every `every` steps and after the last, unless this step has been evaluated:
   * a resumed run makes up for an evaluation that was cut off.
   */
  async evaluateIfDue(evaluate: EvaluationHook | undefined, every: number): Promise<void> {
    const { progress } = this;
    const { policy, signal, steps } = this.#options;
    const { step } = progress;
    if (evaluate === undefined || progress.evaluatedStep === step) return;
    if (step !== 0 && step !== steps && (every === 0 || step % every !== 0)) return;
    this.phase("evaluate");
    const result = await evaluate({ policy, step, signal });
    progress.evaluatedStep = step;
    await this.#emit({ type: "evaluation", step, result: { ...result } });
  }

  async #restore({ state, policyDirectory }: NonNullable<RunDirectory["checkpoint"]>): Promise<void> {
    await this.#options.policy.loadState(policyDirectory);
    // It is on disk already: writing it again would put it at risk.
    this.#savedStep = state.step;
    this.progress.step = state.step;
    this.progress.optimizerSteps = state.optimizerSteps;
    this.progress.generatedTokens = state.generatedTokens;
    this.progress.evaluatedStep = state.evaluatedStep;
  }

  async #saveCheckpoint(): Promise<void> {
    const { progress } = this;
    if (this.#directory === null || this.#savedStep === progress.step) return;
    this.phase("checkpoint");
    const { policy, config } = this.#options;
    const directory = await this.#directory.saveCheckpoint(
      { ...progress },
      (path) => policy.saveState(path),
      config.checkpoint.keep,
    );
    this.#savedStep = progress.step;
    await this.#emit({ type: "checkpoint", step: progress.step, directory });
  }

  async #exportModel(): Promise<string | null> {
    if (this.#directory === null) return null;
    this.phase("export");
    const { policy, tokenizerDirectory } = this.#options;
    return this.#directory.exportModel(async (directory) => {
      await policy.exportModel(directory);
      if (tokenizerDirectory === undefined) return;
      const present = await readdir(tokenizerDirectory);
      for (const file of TOKENIZER_FILES.filter((name) => present.includes(name))) {
        await copyFile(join(tokenizerDirectory, file), join(directory, file));
      }
    });
  }

  async #emit(event: RunEvent): Promise<void> {
    if (this.#sinkFailure !== null && event.type !== "run-failed") throw this.#sinkFailure.error;
    await this.#directory?.record(event);
    for (const sink of this.#options.sinks ?? []) await sink(event);
  }
}

/**
 * Whether an error is the answer to the signal. Any other error, even of an aborted run, may have come in the middle of
 * an update: weights as they are then must not become a checkpoint.
 */
function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true) return false;
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

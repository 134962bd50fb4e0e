/** The directory of a failure analysis: every attempt on disk as it is made, so that a stopped analysis goes on. */
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../../config/errors.js";
import type { Question } from "../../data/question.js";
import {
  dropTornLine,
  ensureDirectory,
  jsonLine,
  readIfPresent,
  streamJsonLines,
  writeFileAtomic,
} from "../../run/files.js";
import { type RolloutRecord, rolloutRecord, SCHEMA_VERSION } from "../../run/records.js";
import type { EvaluationTarget } from "../directory.js";
import type { Attempt, AttemptJournal } from "./analyse.js";
import type { FailureReport } from "./report.js";

const ANALYSIS_FILE = "analysis.json";
const ATTEMPTS_FILE = "attempts.jsonl";
const REPORT_FILE = "report.json";

/** What must be the same for an analysis to go on; critics may be added. */
export interface AnalysisManifest {
  readonly target: EvaluationTarget;
  /** Settings of sampling and refining, tries and seed. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of the questions, in order. */
  readonly questions: readonly string[];
}

/** A line of attempts.jsonl: a rollout record of a stage. */
export type AttemptRecord = RolloutRecord & { readonly stage: string };

export class FailureDirectory implements AttemptJournal {
  readonly path: string;
  readonly found: number;
  readonly #records: Map<string, AttemptRecord>;
  readonly #questions: ReadonlyMap<string, Question>;

  private constructor(path: string, records: Map<string, AttemptRecord>, questions: ReadonlyMap<string, Question>) {
    this.path = path;
    this.found = records.size;
    this.#records = records;
    this.#questions = questions;
  }

  /** @throws InputError if the directory holds another analysis */
  static async open(
    path: string,
    identity: Omit<AnalysisManifest, "questions">,
    questions: readonly Question[],
  ): Promise<FailureDirectory> {
    const manifest = { schemaVersion: SCHEMA_VERSION, ...identity, questions: questions.map(({ id }) => id) };
    const file = join(path, ANALYSIS_FILE);
    const content = `${JSON.stringify(manifest, null, 2)}\n`;
    const present = await readIfPresent(file);
    if (present !== null && present !== content) {
      throw new InputError(
        `${path} holds another analysis (see its ${ANALYSIS_FILE}: another model, other settings or other questions); give another --out`,
      );
    }
    await ensureDirectory(path);
    if (present === null) await writeFileAtomic(file, content);
    const attempts = join(path, ATTEMPTS_FILE);
    await dropTornLine(attempts);
    const records = new Map<string, AttemptRecord>();
    for await (const record of streamJsonLines<AttemptRecord>(attempts)) {
      records.set(JSON.stringify([record.stage, record.question.id]), record);
    }
    return new FailureDirectory(path, records, new Map(questions.map((question) => [question.id, question])));
  }

  find(stage: string, questionId: string): Attempt | undefined {
    const record = this.#records.get(JSON.stringify([stage, questionId]));
    return record && attemptOf(record, this.#questions.get(questionId)!);
  }

  async append(attempts: readonly Attempt[]): Promise<void> {
    const lines = attempts.map(({ stage, ...attempt }) => {
      // Nothing is trained: there are no members.
      return jsonLine({ ...rolloutRecord({ ...attempt, members: [] }, 0), stage });
    });
    await appendFile(join(this.path, ATTEMPTS_FILE), lines.join(""));
  }

  async finish(report: FailureReport): Promise<void> {
    const record = { schemaVersion: SCHEMA_VERSION, time: new Date().toISOString(), ...report };
    await writeFileAtomic(join(this.path, REPORT_FILE), `${JSON.stringify(record, null, 2)}\n`);
  }
}

function attemptOf({ stage, promptTokens, initial, refinements }: AttemptRecord, question: Question): Attempt {
  const response = <R extends { readonly logprobs: readonly number[] }>(record: R) => ({
    ...record,
    // Of a refinement only the length was kept; nothing reads it again.
    samplingPrompt: promptTokens,
    logprobs: Float32Array.from(record.logprobs),
  });
  return {
    ...{ stage, question, prompt: promptTokens },
    initial: initial.map((record) => ({ ...response(record), kind: "initial" })),
    refinements: refinements.map((record) => ({ ...response(record), kind: "refinement" })),
  };
}

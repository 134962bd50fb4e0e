/** The evaluation directory: every generation on disk as it is drawn, so that a stopped evaluation goes on. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import type { Question } from "../data/question.js";
import {
  dropTornLine,
  ensureDirectory,
  jsonLine,
  readIfPresent,
  readJsonLines,
  streamJsonLines,
  syncPath,
  writeFileAtomic,
} from "../run/files.js";
import { SCHEMA_VERSION } from "../run/records.js";
import type { ResponseJournal, SampleKey } from "./measure.js";
import type { EvaluatedResponse, EvaluationSet, EvaluationSummary, GenerationSettings } from "./types.js";

export const EVALUATION_FILE = "evaluation.json";
export const QUESTIONS_FILE = "questions.jsonl";
export const GENERATIONS_FILE = "generations.jsonl";
export const SUMMARY_FILE = "summary.json";

/** Who is evaluated. */
export interface EvaluationTarget {
  readonly kind: "run" | "model" | "endpoint" | "tinker" | "saved";
  /** Directory, address and model, or path on a server: what a person calls it. Never holds a key. */
  readonly name: string;
  /** Changes when the weights do, as far as that can be told. */
  readonly fingerprint?: string;
}

/** evaluation.json */
export interface EvaluationManifest {
  readonly schemaVersion: number;
  readonly createdAt: string;
  readonly target: EvaluationTarget;
  readonly settings: GenerationSettings;
  readonly sets: readonly {
    readonly name: string;
    readonly questions: number;
    readonly samples: number;
    readonly verifier: string;
  }[];
}

/** A line of questions.jsonl. */
export interface RecordedQuestion extends Question {
  readonly schemaVersion: number;
  readonly set: string;
}

/** A line of generations.jsonl. */
export interface GenerationRecord extends Omit<EvaluatedResponse, "length"> {
  readonly schemaVersion: number;
  readonly set: string;
  /** `id` of the question in its set. */
  readonly id: string;
  readonly sample: SampleKey;
  /** Tokens; null where an endpoint does not tell. */
  readonly length: number | null;
}

export type EvaluationPlan = Pick<EvaluationManifest, "target" | "settings"> & {
  readonly evaluationSets: readonly EvaluationSet[];
};

/** Writes one evaluation. One process at a time. */
export class EvaluationDirectory implements ResponseJournal {
  readonly path: string;
  /** Responses that an earlier process left. */
  readonly found: number;
  readonly #responses: Map<string, EvaluatedResponse>;
  #handle: Awaited<ReturnType<typeof open>>;

  private constructor(
    path: string,
    responses: Map<string, EvaluatedResponse>,
    handle: Awaited<ReturnType<typeof open>>,
  ) {
    this.path = path;
    this.found = responses.size;
    this.#responses = responses;
    this.#handle = handle;
  }

  /**
   * Starts an evaluation, or goes on with the one that the directory holds.
   * @throws InputError if it holds another evaluation: the message names what differs
   */
  static async open(path: string, plan: EvaluationPlan): Promise<EvaluationDirectory> {
    const manifest = manifestOf(plan);
    const present = await readManifest(path);
    await ensureDirectory(path);
    if (present === null) {
      await writeFileAtomic(join(path, QUESTIONS_FILE), questionLines(plan.evaluationSets));
      await writeFileAtomic(join(path, EVALUATION_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
    } else {
      await checkSame(path, present, manifest, plan.evaluationSets);
    }
    const file = join(path, GENERATIONS_FILE);
    await dropTornLine(file);
    const responses = new Map<string, EvaluatedResponse>();
    for await (const record of streamJsonLines<GenerationRecord>(file)) {
      responses.set(keyOf(record.set, record.id, record.sample), responseOf(record));
    }
    return new EvaluationDirectory(path, responses, await open(file, "a"));
  }

  find(set: string, questionId: string, sample: SampleKey): EvaluatedResponse | undefined {
    return this.#responses.get(keyOf(set, questionId, sample));
  }

  async append(set: string, questionId: string, sample: SampleKey, response: EvaluatedResponse): Promise<void> {
    const record = { schemaVersion: SCHEMA_VERSION, set, id: questionId, sample, ...response };
    await this.#handle.appendFile(jsonLine(record));
  }

  /** Ends the evaluation with its numbers. */
  async finish(summary: EvaluationSummary): Promise<void> {
    await this.#handle.sync();
    const record = { schemaVersion: SCHEMA_VERSION, time: new Date().toISOString(), ...summary };
    await writeFileAtomic(join(this.path, SUMMARY_FILE), `${JSON.stringify(record, null, 2)}\n`);
  }

  async close(): Promise<void> {
    await this.#handle.close();
    await syncPath(this.path);
  }
}

/** null if the directory holds no evaluation. @throws InputError on another schema version, Error on damage */
export async function readManifest(path: string): Promise<EvaluationManifest | null> {
  const content = await readIfPresent(join(path, EVALUATION_FILE));
  if (content === null) return null;
  const manifest = JSON.parse(content) as EvaluationManifest;
  if (manifest.schemaVersion !== SCHEMA_VERSION) {
    throw new InputError(
      `${join(path, EVALUATION_FILE)} has schema version ${manifest.schemaVersion}; this program reads ${SCHEMA_VERSION}`,
    );
  }
  const { settings } = manifest;
  // JSON has no NaN: the temperature of generations from elsewhere is not known.
  return { ...manifest, settings: { ...settings, temperature: settings.temperature ?? Number.NaN } };
}

/** null while the evaluation goes on. */
export async function readSummary(path: string): Promise<EvaluationSummary | null> {
  const content = await readIfPresent(join(path, SUMMARY_FILE));
  return content === null ? null : (JSON.parse(content) as EvaluationSummary);
}

export function readEvaluationQuestions(path: string): Promise<RecordedQuestion[]> {
  return readJsonLines(join(path, QUESTIONS_FILE));
}

/** In the order in which they were drawn; a torn last line is left out. */
export function readGenerations(path: string): AsyncIterable<GenerationRecord> {
  return streamJsonLines(join(path, GENERATIONS_FILE));
}

/** A record as a response. */
export function responseOf(record: GenerationRecord): EvaluatedResponse {
  const { text, length, stopReason, reward, answer, failure } = record;
  return {
    ...{ text, stopReason, reward, length: length ?? Number.NaN },
    ...(answer === undefined ? {} : { answer }),
    ...(failure === undefined ? {} : { failure }),
  };
}

function keyOf(set: string, id: string, sample: SampleKey): string {
  return JSON.stringify([set, id, sample]);
}

function manifestOf({ target, settings, evaluationSets }: EvaluationPlan): EvaluationManifest {
  return {
    schemaVersion: SCHEMA_VERSION,
    createdAt: new Date().toISOString(),
    target,
    settings,
    sets: evaluationSets.map(({ name, questions, samples, verifier }) => ({
      ...{ name, questions: questions.length, samples, verifier: verifier.name },
    })),
  };
}

function questionLines(sets: readonly EvaluationSet[]): string {
  return sets
    .flatMap(({ name, questions }) =>
      questions.map((question) => jsonLine({ schemaVersion: SCHEMA_VERSION, set: name, ...question })),
    )
    .join("");
}

async function checkSame(
  path: string,
  present: EvaluationManifest,
  wanted: EvaluationManifest,
  sets: readonly EvaluationSet[],
): Promise<void> {
  const differing = (["target", "settings", "sets"] as const).filter(
    (key) => JSON.stringify(present[key]) !== JSON.stringify(wanted[key]),
  );
  const questions = await readIfPresent(join(path, QUESTIONS_FILE));
  if (differing.length === 0 && questions === questionLines(sets)) return;
  const what = differing.length > 0 ? differing : ["questions"];
  const [was, is] =
    differing.length > 0 ? [present[differing[0]!], wanted[differing[0]!]].map((v) => JSON.stringify(v)) : [];
  throw new InputError(
    `${path} holds another evaluation: ${what.join(", ")} differ${was === undefined ? "" : ` (there ${was}, here ${is})`}; give another --out`,
  );
}

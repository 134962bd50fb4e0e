/** Scores generations anew that were saved: no model, no sampling. */
import { basename, extname } from "node:path";
import { InputError } from "../config/errors.js";
import type { Question } from "../data/question.js";
import { readRows } from "../data/read.js";
import { readEvaluationQuestions, readGenerations, readManifest, responseOf } from "./directory.js";
import type { GeneratedResponse, GenerationRequest, ResponseGenerator } from "./generators/generator.js";
import type { SampleKey } from "./measure.js";
import type { EvaluatedResponse, EvaluationSet, GenerationSettings, Verifier } from "./types.js";

/** Saved generations as an evaluation whose responses are there already. */
export interface SavedEvaluation {
  readonly sets: readonly EvaluationSet[];
  readonly settings: GenerationSettings;
  /** "Samples" what was saved. */
  readonly generator: ResponseGenerator;
  /** The verdict that was saved; undefined where none was. */
  readonly verdict: (set: string, id: string, sample: SampleKey) => boolean | undefined;
}

type Saved = Pick<EvaluatedResponse, "text" | "length" | "stopReason" | "failure"> & { readonly correct?: boolean };

/**
 * An evaluation directory, or a JSONL file with `gold`, `responses` (texts, or objects with `text` and perhaps `length`
 * and `stopReason`) and perhaps `id`, `question`, `dataSource` in each row.
 * @param verifierOf the verifier of a set, by the name that was saved (undefined for a file)
 * @throws InputError with file and line on rows that hold something else, and on unfinished evaluations
 */
export async function openSaved(
  path: string,
  verifierOf: (set: string, saved: string | undefined) => Promise<Verifier>,
): Promise<SavedEvaluation> {
  const manifest = await readManifest(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOTDIR") return null;
    throw error;
  });
  return manifest === null ? openFile(path, verifierOf) : openDirectory(path, manifest, verifierOf);
}

async function openDirectory(
  path: string,
  manifest: NonNullable<Awaited<ReturnType<typeof readManifest>>>,
  verifierOf: (set: string, saved: string | undefined) => Promise<Verifier>,
): Promise<SavedEvaluation> {
  const saved = new SavedResponses();
  for await (const record of readGenerations(path)) {
    const { text, length, stopReason, failure, reward } = { ...record, ...responseOf(record) };
    const kept = { text, length, stopReason, correct: reward.correct };
    saved.set(record.set, record.id, record.sample, failure === undefined ? kept : { ...kept, failure });
  }
  const questions = await readEvaluationQuestions(path);
  const sets: EvaluationSet[] = [];
  for (const { name, samples, verifier } of manifest.sets) {
    const own = questions.filter((question) => question.set === name);
    // Of an evaluation that was stopped, what is whole.
    const whole = own.filter(({ id }) => saved.has(name, id, samples, manifest.settings.greedy === true));
    sets.push({
      ...{ name, samples, verifier: await verifierOf(name, verifier) },
      questions: whole.map(({ schemaVersion: _, set: __, ...question }) => question),
    });
  }
  return saved.evaluation(path, sets, manifest.settings);
}

async function openFile(
  path: string,
  verifierOf: (set: string, saved: string | undefined) => Promise<Verifier>,
): Promise<SavedEvaluation> {
  const name = basename(path, extname(path));
  const saved = new SavedResponses();
  const questions: { question: Question; samples: number }[] = [];
  for (const { row, index, location } of await readRows(path)) {
    const { gold, responses, id = `${name}-${index}`, question = "", dataSource = name } = row;
    if (typeof gold !== "string" || !Array.isArray(responses) || responses.length === 0) {
      throw new InputError(`${location}: a row must have gold (text) and responses (a list of texts or objects)`);
    }
    for (const [sample, response] of responses.entries()) {
      saved.set(name, String(id), sample, savedResponse(response, `${location}: responses[${sample}]`));
    }
    const text = String(question);
    questions.push({
      question: { ...{ id: String(id), dataSource: String(dataSource), text, prompt: text, gold }, metadata: {} },
      samples: responses.length,
    });
  }
  // pass@k needs as many samples of every question.
  const samples = questions.reduce((fewest, entry) => Math.min(fewest, entry.samples), Number.POSITIVE_INFINITY);
  const set = { name, samples, verifier: await verifierOf(name, undefined) };
  const settings = { temperature: Number.NaN, maxTokens: 0, seed: 0 };
  return saved.evaluation(path, [{ ...set, questions: questions.map(({ question }) => question) }], settings);
}

function savedResponse(response: unknown, where: string): Saved {
  const { text, length, stopReason } = (typeof response === "string" ? { text: response } : (response ?? {})) as Record<
    string,
    unknown
  >;
  if (typeof text !== "string") throw new InputError(`${where}: must be a text, or an object with a text`);
  return {
    text,
    length: typeof length === "number" ? length : Number.NaN,
    stopReason: stopReason === "length" ? "length" : "stop",
  };
}

class SavedResponses {
  readonly #responses = new Map<string, Saved>();

  set(set: string, id: string, sample: SampleKey, response: Saved): void {
    this.#responses.set(JSON.stringify([set, id, sample]), response);
  }

  get(set: string, id: string, sample: SampleKey): Saved | undefined {
    return this.#responses.get(JSON.stringify([set, id, sample]));
  }

  has(set: string, id: string, samples: number, greedy: boolean): boolean {
    const wanted: SampleKey[] = [
      ...Array.from({ length: samples }, (_, sample) => sample),
      ...(greedy ? (["greedy"] as const) : []),
    ];
    return wanted.every((sample) => this.get(set, id, sample) !== undefined);
  }

  evaluation(path: string, sets: readonly EvaluationSet[], settings: GenerationSettings): SavedEvaluation {
    if (sets.every(({ questions }) => questions.length === 0)) {
      throw new InputError(`${path}: no question has all its responses; finish the evaluation first`);
    }
    const setOf = new Map(
      sets.flatMap(({ name, questions }) => questions.map((question) => [question, name] as const)),
    );
    const replay = async function* (
      this: SavedResponses,
      requests: readonly GenerationRequest[],
    ): AsyncGenerator<GeneratedResponse> {
      for (const [requestIndex, { question, samples, temperature }] of requests.entries()) {
        for (const sample of samples) {
          // The greedy pass is the one at temperature 0, unless all of them are.
          const greedy = settings.greedy === true && temperature === 0 && settings.temperature !== 0;
          const saved = this.get(setOf.get(question)!, question.id, greedy ? "greedy" : sample)!;
          const { text, length, stopReason, failure } = saved;
          yield {
            ...{ requestIndex, sample, text, length, stopReason, tokens: [] },
            ...(failure === undefined ? {} : { failure }),
          };
        }
      }
    }.bind(this);
    return {
      ...{ sets, settings },
      generator: { generate: (requests) => replay(requests) },
      verdict: (set, id, sample) => this.get(set, id, sample)?.correct,
    };
  }
}

/** Draws responses to sets of questions, scores them, lets them vote, and sums up. */
import type { Question } from "../data/question.js";
import type { GeneratedResponse, GenerationRequest, ResponseGenerator } from "./generators/generator.js";
import { majorityVote } from "./majority.js";
import { summarise } from "./summary.js";
import type {
  EvaluatedQuestion,
  EvaluatedResponse,
  EvaluationResult,
  EvaluationSet,
  GenerationSettings,
  Verifier,
} from "./types.js";

const DEFAULT_BATCH_SEQUENCES = 1024;
/** Responses that may wait for their verdict. */
const MAX_UNRECORDED = 16;
/** Keeps the questions of two evaluations with neighbouring seeds apart. */
const SEED_STRIDE = 1_000_003;

/** A sampled response by its number, or the greedy one. */
export type SampleKey = number | "greedy";

/** Responses that are there already, and a place for new ones. */
export interface ResponseJournal {
  readonly find: (set: string, questionId: string, sample: SampleKey) => EvaluatedResponse | undefined;
  /** Called once a response; `measure` waits for it before it asks for more. */
  readonly append: (set: string, questionId: string, sample: SampleKey, response: EvaluatedResponse) => Promise<void>;
}

export interface MeasureOptions extends GenerationSettings {
  readonly batchSequences?: number;
  readonly journal?: ResponseJournal;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A question on its way. */
interface Examination {
  readonly set: EvaluationSet;
  readonly question: Question;
  readonly seed: number;
  readonly responses: (EvaluatedResponse | undefined)[];
  greedy: EvaluatedResponse | undefined;
}

/**
 * Asks every question of the sets, except for what the journal holds, and sums up. The same seed gives the same result
 * whatever `batchSequences` is and however often the evaluation was stopped.
 * @throws RangeError on impossible settings, AbortError when the signal aborts
 */
export async function measure(
  generator: ResponseGenerator,
  sets: readonly EvaluationSet[],
  options: MeasureOptions,
): Promise<EvaluationResult> {
  checkSettings(sets, options);
  const started = performance.now();
  const examinations = sets
    .flatMap((set) => set.questions.map((question) => ({ set, question })))
    // By position, not by batch: the batch size must not change what is drawn.
    .map(({ set, question }, index): Examination => {
      const find = (sample: SampleKey) => options.journal?.find(set.name, question.id, sample);
      return {
        ...{ set, question, seed: (options.seed * SEED_STRIDE + index) % 2 ** 32 },
        responses: Array.from({ length: set.samples }, (_, sample) => find(sample)),
        greedy: options.greedy ? find("greedy") : undefined,
      };
    });
  const progress = progressOf(examinations, options);
  await draw(generator, examinations, false, options, progress);
  if (options.greedy) await draw(generator, examinations, true, options, progress);
  const questions: EvaluatedQuestion[] = [];
  for (const examination of examinations) questions.push(await finish(examination));
  return { summary: summarise(questions, options, (performance.now() - started) / 1000), questions };
}

function checkSettings(sets: readonly EvaluationSet[], { temperature }: GenerationSettings): void {
  if (sets.every(({ questions }) => questions.length === 0)) {
    throw new RangeError("evaluate needs at least one question");
  }
  for (const { samples } of sets) {
    if (!(Number.isInteger(samples) && samples >= 1)) {
      throw new RangeError(`evaluate: samples must be an integer of at least 1; it is ${samples}`);
    }
    if (temperature === 0 && samples > 1) {
      throw new RangeError(
        "evaluate: at temperature 0 all samples are the same; use samples 1 or a temperature above 0",
      );
    }
  }
}

/** Counts responses, and tells where the evaluation stands: at once where it goes on. */
function progressOf(examinations: readonly Examination[], { greedy, onProgress }: MeasureOptions): () => void {
  let total = 0;
  let done = 0;
  for (const examination of examinations) {
    total += examination.responses.length + (greedy ? 1 : 0);
    done += examination.responses.filter((response) => response !== undefined).length + (examination.greedy ? 1 : 0);
  }
  if (done > 0) onProgress?.(done, total);
  return () => onProgress?.(++done, total);
}

/** Fills in what is missing, batch by batch. */
async function draw(
  generator: ResponseGenerator,
  examinations: readonly Examination[],
  greedy: boolean,
  options: MeasureOptions,
  progress: () => void,
): Promise<void> {
  const wanted = examinations.flatMap((examination) => {
    const samples = greedy
      ? examination.greedy === undefined
        ? [0]
        : []
      : [...examination.responses.keys()].filter((sample) => examination.responses[sample] === undefined);
    return samples.length === 0 ? [] : [{ examination, samples }];
  });
  const limit = options.batchSequences ?? DEFAULT_BATCH_SEQUENCES;
  for (let start = 0; start < wanted.length; ) {
    options.signal?.throwIfAborted();
    let end = start;
    let sequences = 0;
    do sequences += wanted[end++]!.samples.length;
    while (end < wanted.length && sequences + wanted[end]!.samples.length <= limit);
    await drawBatch(generator, wanted.slice(start, end), greedy, options, progress);
    start = end;
  }
}

async function drawBatch(
  generator: ResponseGenerator,
  batch: readonly { readonly examination: Examination; readonly samples: readonly number[] }[],
  greedy: boolean,
  options: MeasureOptions,
  progress: () => void,
): Promise<void> {
  const { topK = 0, topP = 1, maxTokens, signal, journal } = options;
  const temperature = greedy ? 0 : options.temperature;
  const requests = batch.map(({ examination, samples }): GenerationRequest => {
    const { question, seed } = examination;
    return { question, samples, seed, temperature, topK, topP, maxTokens };
  });
  const record = async (generated: GeneratedResponse) => {
    const { examination } = batch[generated.requestIndex]!;
    const { set, question, responses } = examination;
    const response = await judge(set.verifier, question, generated);
    if (greedy) examination.greedy = response;
    else responses[generated.sample] = response;
    await journal?.append(set.name, question.id, greedy ? "greedy" : generated.sample, response);
    progress();
  };
  const recording = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  try {
    for await (const generated of generator.generate(requests, signal ? { signal } : {})) {
      const recorded: Promise<void> = record(generated)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => recording.delete(recorded));
      recording.add(recorded);
      // What waits for its verdict would be lost with the process: an endpoint is asked no further until it is recorded.
      if (recording.size >= MAX_UNRECORDED) await Promise.race(recording);
      if (failed !== undefined) break;
    }
  } finally {
    // What was drawn before an abort or an error is kept.
    await Promise.all(recording);
  }
  if (failed !== undefined) throw failed.error;
  for (const { examination, samples } of batch) {
    const { responses, question } = examination;
    const missing = greedy
      ? examination.greedy === undefined
      : samples.some((sample) => responses[sample] === undefined);
    if (missing) {
      throw new Error(`the engine did not return all of the ${samples.length} samples of ${question.id} asked for`);
    }
  }
}

async function judge(verifier: Verifier, question: Question, generated: GeneratedResponse): Promise<EvaluatedResponse> {
  const { text, tokens, length, stopReason, failure } = generated;
  if (failure !== undefined) {
    const reward = { value: 0, correct: false, parts: {} };
    return { text, length, stopReason, reward, ...(verifier.answers ? { answer: null } : {}), failure };
  }
  const reward = await verifier.score(question, { text, tokens, stopReason });
  const answer = verifier.answers && (await verifier.answers.read(question, text));
  return { text, length, stopReason, reward, ...(answer === undefined ? {} : { answer }) };
}

async function finish({ set, question, responses: maybe, greedy }: Examination): Promise<EvaluatedQuestion> {
  const responses = maybe.map((response) => response!);
  const { answers } = set.verifier;
  return {
    question,
    responses,
    ...(greedy === undefined ? {} : { greedy }),
    ...(answers === undefined || responses.length < 2
      ? {}
      : { majority: await majorityVote(responses, answers.equal) }),
  };
}

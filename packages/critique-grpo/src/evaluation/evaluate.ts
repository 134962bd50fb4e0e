/** Draws responses to held-out questions, scores them and sums up. Used by the trainer and by `critique-grpo eval`. */
import type { Question } from "../data/question.js";
import type { Policy, SampledSequence, SampleRequest, TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";
import { summarise } from "./summary.js";
import type { EvaluatedQuestion, EvaluatedResponse, EvaluationOptions, EvaluationResult } from "./types.js";

const DEFAULT_BATCH_SEQUENCES = 256;
/** Keeps the greedy pass apart from the sampled one in the seed space. */
const SEED_STRIDE = 1_000_003;

/**
 * Samples `options.samples` responses to each question (and a greedy one if asked), scores them, and returns the
 * summary with every response. The same seed gives the same result whatever `batchSequences` is.
 * Throws RangeError on impossible options, AbortError when the signal aborts.
 */
export async function evaluate(
  policy: Policy,
  codec: TextCodec,
  questions: readonly Question[],
  options: EvaluationOptions,
): Promise<EvaluationResult> {
  if (questions.length === 0) throw new RangeError("evaluate needs at least one question");
  if (!(Number.isInteger(options.samples) && options.samples >= 1)) {
    throw new RangeError(`evaluate: samples must be an integer of at least 1; it is ${options.samples}`);
  }
  if (options.temperature === 0 && options.samples > 1) {
    throw new RangeError("evaluate: at temperature 0 all samples are the same; use samples 1 or a temperature above 0");
  }
  const started = performance.now();
  const total = questions.length * (options.samples + (options.greedy ? 1 : 0));
  let done = 0;
  const report = () => options.onProgress?.(++done, total);
  const sampled = await draw(policy, codec, questions, options, report);
  const greedy = options.greedy
    ? await draw(policy, codec, questions, { ...options, samples: 1, temperature: 0 }, report)
    : undefined;
  const evaluated: EvaluatedQuestion[] = questions.map((question, index) => ({
    question,
    responses: sampled[index]!,
    ...(greedy ? { greedy: greedy[index]![0]! } : {}),
  }));
  const seconds = (performance.now() - started) / 1000;
  return { summary: summarise(evaluated, options, seconds), questions: evaluated };
}

/** One list of scored responses a question, in the order of the questions and of the samples. */
async function draw(
  policy: Policy,
  codec: TextCodec,
  questions: readonly Question[],
  options: EvaluationOptions,
  report: () => void,
): Promise<EvaluatedResponse[][]> {
  const perBatch = Math.max(1, Math.floor((options.batchSequences ?? DEFAULT_BATCH_SEQUENCES) / options.samples));
  const result: EvaluatedResponse[][] = [];
  for (let start = 0; start < questions.length; start += perBatch) {
    options.signal?.throwIfAborted();
    const batch = questions.slice(start, start + perBatch);
    const requests = batch.map((question, index) => request(codec, question, start + index, options));
    const responses: EvaluatedResponse[][] = batch.map(() => new Array<EvaluatedResponse>(options.samples));
    for await (const sequence of policy.sample(requests, options.signal ? { signal: options.signal } : {})) {
      const question = batch[sequence.requestIndex]!;
      responses[sequence.requestIndex]![sequence.sampleIndex] = await scored(codec, question, sequence, options);
      report();
    }
    for (const [index, list] of responses.entries()) {
      if (Object.keys(list).length < options.samples) {
        throw new Error(
          `the engine returned ${Object.keys(list).length} of ${options.samples} samples of ${batch[index]!.id}`,
        );
      }
      result.push(list);
    }
  }
  return result;
}

function request(codec: TextCodec, question: Question, index: number, options: EvaluationOptions): SampleRequest {
  return {
    prompt: encodePrompt(codec, question.prompt),
    count: options.samples,
    temperature: options.temperature,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    maxTokens: options.maxTokens,
    stopTokens: codec.stopTokens,
    // By position, not by batch: the batch size must not change what is drawn.
    seed: (options.seed * SEED_STRIDE + index) % 2 ** 32,
  };
}

async function scored(
  codec: TextCodec,
  question: Question,
  sequence: SampledSequence,
  options: EvaluationOptions,
): Promise<EvaluatedResponse> {
  const text = codec.decode(sequence.tokens);
  const reward = await options.score(question, { text, tokens: sequence.tokens, stopReason: sequence.stopReason });
  return { text, length: sequence.tokens.length, stopReason: sequence.stopReason, reward };
}

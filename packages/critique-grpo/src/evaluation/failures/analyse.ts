/**
 * Persistent failures, as the paper analyses them: which questions has a policy no right response to in k tries, and how
 * many of them does it solve when a critique of its attempt is put before it? By kind of critique.
 */
import type { Question } from "../../data/question.js";
import type { Critic } from "../../feedback/critique/critic.js";
import type { Scorer } from "../../feedback/reward/reward.js";
import type { Policy, TextCodec } from "../../policy/policy.js";
import { sampleInitialResponses } from "../../rollout/initial.js";
import type { InitialResponse, Refinement } from "../../rollout/records.js";
import { refineResponses } from "../../rollout/refine.js";
import type { QuestionRollout, RolloutConfig, RolloutContext } from "../../rollout/sampling.js";
import { Stopwatch } from "../../rollout/stopwatch.js";

export interface NamedCritic {
  /** Unique; "none" and "base" are taken. */
  readonly name: string;
  readonly critic: Critic;
}

/** What happened to one question in one stage. */
export interface Attempt {
  /** "base": the tries; "none": as many further tries, without any critique; else the name of a critic. */
  readonly stage: string;
  readonly question: Question;
  readonly prompt: readonly number[];
  /** The tries; in the stage of a critic those that were refined, with their critiques. */
  readonly initial: readonly InitialResponse[];
  readonly refinements: readonly Refinement[];
}

/** Attempts that are there already, and a place for new ones. */
export interface AttemptJournal {
  readonly find: (stage: string, questionId: string) => Attempt | undefined;
  readonly append: (attempts: readonly Attempt[]) => Promise<void>;
}

export interface FailureOptions {
  readonly config: RolloutConfig;
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly score: Scorer;
  readonly questions: readonly Question[];
  /** k: a question without a right response in so many tries is a persistent failure. */
  readonly tries: number;
  /** Of a failed question's tries, how many are criticised and refined, once each. */
  readonly refine: number;
  readonly critics: readonly NamedCritic[];
  readonly journal?: AttemptJournal | undefined;
  /** Questions sampled at once. Default 64; never changes the result. */
  readonly batchQuestions?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((stage: string, done: number, total: number) => void) | undefined;
}

/** Further tries draw with other seeds than the first ones. */
const BASE_STEP = 0;
const RETRY_STEP = 1;

/**
 * Every attempt, stage by stage: the tries of all questions, further tries of the failed ones (what trying again alone
 * would solve), and for each critic their refinements. Sampling, critiques and refining are those of training.
 * @throws AbortError on abort; what the journal has been given is not drawn again
 */
export async function analyseFailures(options: FailureOptions): Promise<Attempt[]> {
  const { questions, tries, refine, critics } = options;
  const base = await stage("base", questions, options, (batch) => drawTries(batch, tries, BASE_STEP, options));
  const failed = base.filter(({ initial }) => initial.every(({ reward }) => !reward.correct));
  const attempts = [...base];
  const failedQuestions = failed.map(({ question }) => question);
  attempts.push(
    ...(await stage("none", failedQuestions, options, (batch) => drawTries(batch, refine, RETRY_STEP, options))),
  );
  const triesOf = new Map(failed.map((attempt) => [attempt.question.id, attempt]));
  for (const { name, critic } of critics) {
    const work = (batch: readonly Question[]) => {
      const rollouts = batch.map(({ id }): QuestionRollout => {
        const { question, prompt, initial } = triesOf.get(id)!;
        return { question, prompt, occurrence: 0, initial: initial.slice(0, refine), refinements: [], expert: null };
      });
      return refineResponses(rollouts, context(options, refine, BASE_STEP, critic));
    };
    attempts.push(...(await stage(name, failedQuestions, options, work)));
  }
  return attempts;
}

function drawTries(questions: readonly Question[], count: number, step: number, options: FailureOptions) {
  return sampleInitialResponses(questions, context(options, count, step, null));
}

function context(options: FailureOptions, responses: number, step: number, critic: Critic | null): RolloutContext {
  const { config, policy, codec, score, signal } = options;
  const algorithm = { ...config.algorithm, initialResponses: responses };
  // Every try that is to be refined is, so that the rates are of all of them.
  const refinement = { ...config.refinement, count: Math.max(1, config.refinement.count), stopWhenFound: false };
  const stopwatch = new Stopwatch();
  // What a run trains on is no matter here.
  const group = { ...config.group, critiques: false };
  return { config: { ...config, algorithm, refinement, group }, policy, codec, score, critic, step, stopwatch, signal };
}

/** One stage over the questions, batch by batch, without those that the journal holds. */
async function stage(
  name: string,
  questions: readonly Question[],
  options: FailureOptions,
  work: (batch: readonly Question[]) => Promise<readonly QuestionRollout[]>,
): Promise<Attempt[]> {
  const { journal, signal, onProgress, batchQuestions = 64 } = options;
  const attempts = new Map<string, Attempt>();
  for (const { id } of questions) {
    const found = journal?.find(name, id);
    if (found !== undefined) attempts.set(id, found);
  }
  const missing = questions.filter(({ id }) => !attempts.has(id));
  for (let start = 0; start < missing.length; start += batchQuestions) {
    signal?.throwIfAborted();
    const rollouts = await work(missing.slice(start, start + batchQuestions));
    const drawn = rollouts.map(({ question, prompt, initial, refinements }): Attempt => {
      return { stage: name, question, prompt, initial, refinements };
    });
    await journal?.append(drawn);
    for (const attempt of drawn) attempts.set(attempt.question.id, attempt);
    onProgress?.(name, attempts.size, questions.length);
  }
  return questions.map(({ id }) => attempts.get(id)!);
}

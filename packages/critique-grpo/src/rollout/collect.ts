/** From questions to training groups: sample, verify, critique, refine, select, compare. */
import { groupAdvantages } from "../algorithm/advantages.js";
import { selectionIsSettled, selectRefinements } from "../algorithm/selection.js";
import type { RunConfig } from "../config/schema.js";
import type { Question } from "../data/question.js";
import type { Critic } from "../feedback/critique/critic.js";
import { DEFAULT_REFINEMENT_TEMPLATE, encodeRefinementPrompt } from "../feedback/refinement-prompt.js";
import type { Scorer } from "../feedback/reward/reward.js";
import type { Policy, SampledSequence, SampleRequest, TextCodec } from "../policy/policy.js";
import { encodePrompt } from "../text/prompt.js";
import { mapConcurrent } from "./concurrency.js";
import type { Critique, InitialResponse, Refinement, TrainingGroup } from "./records.js";
import { deriveSeed } from "./seeds.js";
import type { Stopwatch } from "./stopwatch.js";

const REWARDS_IN_FLIGHT = 64;

export type RolloutConfig = Pick<RunConfig, "seed" | "sampling" | "refinement" | "algorithm">;

export interface RolloutContext {
  readonly config: RolloutConfig;
  readonly policy: Policy;
  readonly codec: TextCodec;
  readonly score: Scorer;
  /** Needed where refinements are wanted. */
  readonly critic: Critic | null;
  /** Training step, part of every seed. */
  readonly step: number;
  readonly stopwatch: Stopwatch;
  readonly signal?: AbortSignal | undefined;
}

/** A group on its way: what is known of one question so far. */
interface Draft {
  readonly question: Question;
  readonly prompt: readonly number[];
  /** Tells the copies of a question that stands twice in one batch apart. */
  readonly occurrence: number;
  readonly initial: InitialResponse[];
  readonly refinements: Refinement[];
}

/** One training group for each question, in order. AbortError when the signal aborts; nothing is left half done. */
export async function collectGroups(
  questions: readonly Question[],
  context: RolloutContext,
): Promise<readonly TrainingGroup[]> {
  const drafts = startDrafts(questions, context.codec);
  await sampleInitialResponses(drafts, context);
  if (context.config.refinement.count > 0) await refineResponses(drafts, context);
  return drafts.map((draft) => finishGroup(draft, context.config));
}

function startDrafts(questions: readonly Question[], codec: TextCodec): Draft[] {
  const seen = new Map<string, number>();
  return questions.map((question) => {
    const occurrence = seen.get(question.id) ?? 0;
    seen.set(question.id, occurrence + 1);
    return { question, prompt: encodePrompt(codec, question.prompt), occurrence, initial: [], refinements: [] };
  });
}

async function sampleInitialResponses(drafts: readonly Draft[], context: RolloutContext): Promise<void> {
  const { config, stopwatch } = context;
  const requests = drafts.map((draft) => ({
    ...samplingParameters(context, config.sampling.maxTokens),
    prompt: draft.prompt,
    count: config.algorithm.initialResponses,
    seed: seedOf(draft, context, "initial"),
  }));
  const sampled = await stopwatch.time("sample", () => sampleAll(requests, context));
  const drawn = drafts.flatMap((draft, request) => sampled[request]!.map((sequence) => ({ draft, sequence })));
  const finished = await finishAll(
    drawn.map(({ draft, sequence }) => ({ draft, samplingPrompt: draft.prompt, sequence })),
    context,
  );
  for (const [i, { draft, sequence }] of drawn.entries()) {
    draft.initial.push({ kind: "initial", index: sequence.sampleIndex, ...finished[i]! });
  }
}

/**
 * Refines the responses of all questions in rounds: round r takes response r of each question that still needs one.
 * With `stopWhenFound` a question is done once its selection is settled; seeds and order do not depend on that, so the
 * selection is the one that refining all would give.
 */
async function refineResponses(drafts: readonly Draft[], context: RolloutContext): Promise<void> {
  const { initialResponses } = context.config.algorithm;
  const { count, stopWhenFound } = context.config.refinement;
  if (!stopWhenFound) {
    const all = drafts.flatMap((draft) => draft.initial.map((_, index) => ({ draft, index })));
    return refineRound(all, context);
  }
  for (let index = 0; index < initialResponses; index++) {
    const open = drafts.filter((draft) => !selectionIsSettled(draft.refinements, count));
    if (open.length === 0) return;
    await refineRound(
      open.map((draft) => ({ draft, index })),
      context,
    );
  }
}

interface RefinementTask {
  readonly draft: Draft;
  /** Which initial response is refined. */
  readonly index: number;
}

async function refineRound(tasks: readonly RefinementTask[], context: RolloutContext): Promise<void> {
  const { stopwatch, config, signal } = context;
  if (context.critic === null) throw new Error("refinement.count is above 0 but there is no critic: set critique.type");
  const critic = context.critic;
  const requested = tasks.map(({ draft, index }) => ({
    question: draft.question,
    response: draft.initial[index]!,
    seed: seedOf(draft, context, "critique", index),
  }));
  const critiques = await stopwatch.time("critique", () => critic.critique(requested, signal ? { signal } : {}));
  if (critiques.length !== tasks.length) {
    throw new Error(`The critic returned ${critiques.length} critiques for ${tasks.length} responses`);
  }

  const prompts = tasks.map((task, i) => prepareRefinement(task, critiques[i]!, context));
  const fitting = tasks.flatMap((task, i) => (prompts[i] === null ? [] : [{ ...task, prompt: prompts[i]! }]));
  const requests = fitting.map(({ draft, index, prompt }) => ({
    ...samplingParameters(context, refinementLength(config)),
    prompt,
    count: 1,
    seed: seedOf(draft, context, "refinement", index),
  }));
  const sampled = await stopwatch.time("refine", () => sampleAll(requests, context));
  const refined = await finishAll(
    fitting.map(({ draft, prompt }, i) => ({ draft, samplingPrompt: prompt, sequence: sampled[i]![0]! })),
    context,
  );
  for (const [i, { draft, index }] of fitting.entries()) {
    draft.refinements.push({ kind: "refinement", index: draft.refinements.length, refines: index, ...refined[i]! });
  }
}

/** Notes the critique with its response; null, with the reason in the record, where there can be no refinement. */
function prepareRefinement(
  { draft, index }: RefinementTask,
  critique: Critique,
  context: RolloutContext,
): readonly number[] | null {
  const { codec, config, policy } = context;
  const response = draft.initial[index]!;
  const template = config.refinement.template ?? DEFAULT_REFINEMENT_TEMPLATE;
  const longest = refinementLength(config);
  const skip = (reason: string) => {
    draft.initial[index] = { ...response, critique, refinementSkipped: reason };
    return null;
  };
  let prompt: readonly number[];
  try {
    prompt = encodeRefinementPrompt(codec, template, draft.question, response.text, critique.text);
  } catch (error) {
    return skip(`the refinement prompt cannot be encoded: ${error instanceof Error ? error.message : String(error)}`);
  }
  const needed = prompt.length + longest;
  if (needed > policy.info.contextLength) {
    return skip(
      `the refinement prompt of ${prompt.length} tokens and ${longest} tokens of response need ${needed}, the context holds ${policy.info.contextLength}`,
    );
  }
  draft.initial[index] = { ...response, critique };
  return prompt;
}

function finishGroup(draft: Draft, config: RolloutConfig): TrainingGroup {
  const { count, onlyCorrect } = config.refinement;
  const selected = selectRefinements(draft.refinements, count, onlyCorrect);
  const responses = [...draft.initial, ...selected];
  const advantages = groupAdvantages(
    responses.map((response) => response.reward.value),
    config.algorithm.advantage,
  );
  return {
    question: draft.question,
    prompt: draft.prompt,
    initial: draft.initial,
    refinements: draft.refinements,
    members: responses.map((response, i) => ({ response, advantage: advantages[i]! })),
  };
}

interface Drawn {
  readonly draft: Draft;
  readonly samplingPrompt: readonly number[];
  readonly sequence: SampledSequence;
}

/** Decodes and scores responses, in order. */
async function finishAll(drawn: readonly Drawn[], { codec, score, stopwatch, signal }: RolloutContext) {
  const finish = async ({ draft, samplingPrompt, sequence }: Drawn) => {
    const { tokens, logprobs, stopReason, policyVersion } = sequence;
    const text = codec.decode(tokens);
    const reward = await score(draft.question, { text, tokens, stopReason });
    return { samplingPrompt, tokens, logprobs, text, stopReason, policyVersion, reward };
  };
  return stopwatch.time("reward", () => mapConcurrent(drawn, REWARDS_IN_FLIGHT, finish, signal));
}

/** The sequences of each request in the order of their sample index. */
async function sampleAll(requests: readonly SampleRequest[], context: RolloutContext): Promise<SampledSequence[][]> {
  const sequences: SampledSequence[][] = requests.map(() => []);
  if (requests.length === 0) return sequences;
  const options = context.signal ? { signal: context.signal } : {};
  for await (const sequence of context.policy.sample(requests, options)) {
    sequences[sequence.requestIndex]!.push(sequence);
  }
  for (const [i, list] of sequences.entries()) {
    const wanted = requests[i]!.count;
    if (list.length !== wanted) throw new Error(`The engine returned ${list.length} of ${wanted} samples of a request`);
    list.sort((a, b) => a.sampleIndex - b.sampleIndex);
  }
  return sequences;
}

function samplingParameters({ config, codec }: RolloutContext, maxTokens: number) {
  const { temperature, topK, topP } = config.sampling;
  return { temperature, topK, topP, maxTokens, stopTokens: codec.stopTokens };
}

/** Longest refinement in tokens. */
export function refinementLength(config: Pick<RunConfig, "sampling" | "refinement">): number {
  return config.refinement.maxTokens ?? config.sampling.maxTokens;
}

function seedOf(draft: Draft, { config, step }: RolloutContext, phase: string, index = 0): number {
  return deriveSeed(config.seed, step, draft.question.id, draft.occurrence, phase, index);
}

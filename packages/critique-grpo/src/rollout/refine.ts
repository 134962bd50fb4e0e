/** Stage two of a rollout: critiques, and refinements that answer them, each with its reward. */
import { selectionIsSettled } from "../algorithm/selection.js";
import type { RunConfig } from "../config/schema.js";
import { CUT_MARK, cutToFit } from "../feedback/critique/fit.js";
import { DEFAULT_REFINEMENT_TEMPLATE, encodeRefinementPrompt } from "../feedback/refinement-prompt.js";
import type { TextCodec } from "../policy/policy.js";
import { CritiqueQueue, type RefinementTask } from "./critiques.js";
import type { Critique, InitialResponse, Refinement } from "./records.js";
import { drawResponses, type QuestionRollout, type RolloutContext, seedOf } from "./sampling.js";
import { seededPermutation } from "./seeds.js";

/** A rollout that is being refined. */
type OpenRollout = QuestionRollout & { readonly initial: InitialResponse[]; readonly refinements: Refinement[] };

/**
 * Refines the responses of all questions in rounds: the first takes one response of every question that needs a
 * refinement, each further one `refinement.roundGrowth` times as many; in their order or, with
 * `refinement.selection: random`, in a seeded one. With `refinement.stopWhenFound` a question is done once its selection
 * is settled; seeds and order do not depend on that, so the selection is the one that refining all would give; nor on
 * critiques that are asked for ahead. Where `refinement.count` is 0, responses get critiques at most
 * (`group.critiques`).
 * @throws Error without a critic, AbortError on abort.
 */
export async function refineResponses(
  rollouts: readonly QuestionRollout[],
  context: RolloutContext,
): Promise<readonly QuestionRollout[]> {
  const { algorithm, refinement, group } = context.config;
  const { count, stopWhenFound, roundGrowth } = refinement;
  if (count === 0 && !group.critiques) return rollouts;
  const open = rollouts.map(
    (rollout): OpenRollout => ({ ...rollout, initial: [...rollout.initial], refinements: [...rollout.refinements] }),
  );
  const ordered = open.map((rollout) => refinementOrder(rollout, context).map((index) => ({ rollout, index })));
  const critiques = new CritiqueQueue(context);
  if (count === 0) {
    const tasks = ordered.flat();
    noteCritiques(tasks, await critiques.take(tasks));
    return open;
  }
  if (!stopWhenFound) {
    const tasks = ordered.flat();
    await refineRound(tasks, await critiques.take(tasks), context);
    return open;
  }
  const rounds = refinementRounds(algorithm.initialResponses, roundGrowth);
  for (const [index, round] of rounds.entries()) {
    const unsettled = ordered.filter((_, i) => !selectionIsSettled(open[i]!.refinements, refinement));
    if (unsettled.length === 0) break;
    // All first ones come before all second ones: the refinements of a question stay in its order.
    const tasksOf = (places: readonly number[]) => places.flatMap((place) => unsettled.map((list) => list[place]!));
    const tasks = tasksOf(round);
    const written = await critiques.take(tasks);
    critiques.ask(tasksOf(rounds.slice(index + 1, index + 1 + critiques.ahead).flat()));
    await refineRound(tasks, written, context);
  }
  noteUnused(open, await critiques.rest());
  return open;
}

/** Which places of the order each round takes: [[0], [1, 2], [3, 4, 5, 6]] of seven with a growth of two. */
function refinementRounds(responses: number, growth: number): number[][] {
  const rounds: number[][] = [];
  for (let start = 0, size = 1; start < responses; start += size, size *= growth) {
    rounds.push(Array.from({ length: Math.min(size, responses - start) }, (_, i) => start + i));
  }
  return rounds;
}

/** The initial responses in the order in which they are refined. */
function refinementOrder(rollout: QuestionRollout, context: RolloutContext): number[] {
  if (context.config.refinement.selection !== "random") return [...rollout.initial.keys()];
  return [...seededPermutation(rollout.initial.length, seedOf(rollout, context, "selection"))];
}

function noteCritiques(tasks: readonly OpenTask[], critiques: readonly Critique[]): void {
  for (const [i, { rollout, index }] of tasks.entries()) {
    rollout.initial[index] = { ...rollout.initial[index]!, critique: critiques[i]! };
  }
}

/** A critique that was paid for and not needed is recorded; a sentence that cost nothing is not. */
function noteUnused(rollouts: readonly OpenRollout[], critiques: ReadonlyMap<InitialResponse, Critique>): void {
  for (const { initial } of rollouts) {
    for (const [index, response] of initial.entries()) {
      const critique = critiques.get(response);
      if (critique?.prompt !== undefined) initial[index] = { ...response, critique };
    }
  }
}

interface OpenTask extends RefinementTask {
  readonly rollout: OpenRollout;
}

async function refineRound(
  tasks: readonly OpenTask[],
  critiques: readonly Critique[],
  context: RolloutContext,
): Promise<void> {
  const prompts = tasks.map((task, i) => prepareRefinement(task, critiques[i]!, context));
  const fitting = tasks.flatMap((task, i) => (prompts[i] === null ? [] : [{ ...task, prompt: prompts[i]! }]));
  const requests = fitting.map(({ rollout, index, prompt }) => ({
    question: rollout.question,
    prompt,
    count: 1,
    maxTokens: refinementLength(context.config),
    seed: seedOf(rollout, context, "refinement", index),
  }));
  const responses = await drawResponses(requests, "refine", context);
  for (const [i, { rollout, index: refines }] of fitting.entries()) {
    const index = rollout.refinements.length;
    rollout.refinements.push({ kind: "refinement", index, refines, ...responses[i]![0]! });
  }
}

/**
 * Notes the critique with its response, cut where the context has no room for all of it; null, with the reason in the
 * record, where there can be no refinement.
 */
function prepareRefinement(
  { rollout, index }: OpenTask,
  critique: Critique,
  context: RolloutContext,
): readonly number[] | null {
  const { codec, config, policy } = context;
  const response = rollout.initial[index]!;
  const template = config.refinement.template ?? DEFAULT_REFINEMENT_TEMPLATE;
  const longest = refinementLength(config);
  const { contextLength } = policy.info;
  const skip = (reason: string) => {
    rollout.initial[index] = { ...response, critique, refinementSkipped: reason };
    return null;
  };
  const encode = (text: string) => encodeRefinementPrompt(codec, template, rollout.question, response.text, text);
  try {
    const prompt = encode(critique.text);
    if (prompt.length + longest <= contextLength) {
      rollout.initial[index] = { ...response, critique };
      return prompt;
    }
    const cut = cutCritique(critique, codec, (text) => {
      const shorter = encode(text);
      return shorter.length + longest <= contextLength ? shorter : null;
    });
    if (cut === null) {
      return skip(
        `the refinement prompt of ${prompt.length} tokens and ${longest} tokens of response need ${prompt.length + longest}, the context holds ${contextLength}`,
      );
    }
    rollout.initial[index] = { ...response, critique: { ...critique, text: cut.text, cutFrom: critique.text.length } };
    return cut.prompt;
  } catch (error) {
    return skip(`the refinement prompt cannot be encoded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The sentences of `simple` and `simple_gt` say nothing without their end. */
function cutCritique<P>({ kind, text }: Critique, codec: TextCodec, make: (critique: string) => P | null) {
  return kind === "simple" || kind === "simple_gt" ? null : cutToFit(text, cutMark(codec), make);
}

/** None where the tokenizer has no characters for it. */
function cutMark(codec: TextCodec): string {
  try {
    codec.encode(CUT_MARK);
    return CUT_MARK;
  } catch {
    return "";
  }
}

/** Longest refinement in tokens. */
export function refinementLength(config: Pick<RunConfig, "sampling" | "refinement">): number {
  return config.refinement.maxTokens ?? config.sampling.maxTokens;
}

/** Stage two of a rollout: critiques, and refinements that answer them, each with its reward. */
import { selectionIsSettled } from "../algorithm/selection.js";
import type { RunConfig } from "../config/schema.js";
import { CUT_MARK, cutToFit } from "../feedback/critique/fit.js";
import { DEFAULT_REFINEMENT_TEMPLATE, encodeRefinementPrompt } from "../feedback/refinement-prompt.js";
import type { TextCodec } from "../policy/policy.js";
import type { Critique, InitialResponse, Refinement } from "./records.js";
import { drawResponses, type QuestionRollout, type RolloutContext, seedOf } from "./sampling.js";

/** A rollout that is being refined. */
type OpenRollout = QuestionRollout & { readonly initial: InitialResponse[]; readonly refinements: Refinement[] };

/**
 * Refines the responses of all questions in rounds: round r takes response r of each question that still needs one.
 * With `refinement.stopWhenFound` a question is done once its selection is settled; seeds and order do not depend on
 * that, so the selection is the one that refining all would give. Nothing is done where `refinement.count` is 0.
 * @throws Error without a critic, AbortError on abort.
 */
export async function refineResponses(
  rollouts: readonly QuestionRollout[],
  context: RolloutContext,
): Promise<readonly QuestionRollout[]> {
  const { algorithm, refinement } = context.config;
  const { count, stopWhenFound } = refinement;
  if (count === 0) return rollouts;
  const open = rollouts.map(
    (rollout): OpenRollout => ({ ...rollout, initial: [...rollout.initial], refinements: [...rollout.refinements] }),
  );
  if (!stopWhenFound) {
    await refineRound(
      open.flatMap((rollout) => rollout.initial.map((_, index) => ({ rollout, index }))),
      context,
    );
    return open;
  }
  for (let index = 0; index < algorithm.initialResponses; index++) {
    const unsettled = open.filter(({ refinements }) => !selectionIsSettled(refinements, count));
    if (unsettled.length === 0) break;
    await refineRound(
      unsettled.map((rollout) => ({ rollout, index })),
      context,
    );
  }
  return open;
}

interface RefinementTask {
  readonly rollout: OpenRollout;
  /** Which initial response is refined. */
  readonly index: number;
}

async function refineRound(tasks: readonly RefinementTask[], context: RolloutContext): Promise<void> {
  const critiques = await writeCritiques(tasks, context);
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

async function writeCritiques(tasks: readonly RefinementTask[], context: RolloutContext): Promise<readonly Critique[]> {
  const { critic, stopwatch, signal } = context;
  if (critic === null) throw new Error("refinement.count is above 0 but there is no critic: set critique.type");
  const requests = tasks.map(({ rollout, index }) => ({
    question: rollout.question,
    response: rollout.initial[index]!,
    seed: seedOf(rollout, context, "critique", index),
  }));
  const critiques = await stopwatch.time("critique", () => critic.critique(requests, signal ? { signal } : {}));
  if (critiques.length !== tasks.length) {
    throw new Error(`The critic returned ${critiques.length} critiques for ${tasks.length} responses`);
  }
  return critiques;
}

/**
 * Notes the critique with its response, cut where the context has no room for all of it; null, with the reason in the
 * record, where there can be no refinement.
 */
function prepareRefinement(
  { rollout, index }: RefinementTask,
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

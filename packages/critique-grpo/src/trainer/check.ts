/** What must hold before the first token is sampled: everything a configuration, a policy and the questions can tell. */
import { ConfigError, InputError } from "../config/errors.js";
import { checkRunConfig } from "../config/run.js";
import type { RunConfig } from "../config/schema.js";
import type { Question } from "../data/question.js";
import type { Critic } from "../feedback/critique/critic.js";
import type { PolicyInfo, TextCodec } from "../policy/policy.js";
import { encodeSolution } from "../rollout/expert.js";
import { refinementLength } from "../rollout/refine.js";
import { encodePrompt } from "../text/prompt.js";

const SHOWN_IDS = 5;

/**
 * The rules between keys, for a configuration that did not come through `resolveRunConfig`.
 * @throws ConfigError with every problem.
 */
export function checkConfig(config: RunConfig): void {
  const problems = checkRunConfig(config);
  if (problems.length > 0) throw new ConfigError(problems);
}

/** @throws InputError if the engine cannot do what the configuration asks for. */
export function checkCapabilities(config: RunConfig, info: PolicyInfo): void {
  const { entropyCoefficient, klCoefficient } = config.algorithm;
  const { exactEntropy, estimatedEntropy = false, reference } = info.capabilities;
  if (entropyCoefficient > 0 && !exactEntropy && !estimatedEntropy) {
    throw new InputError(
      `algorithm.entropyCoefficient is ${entropyCoefficient}, but the ${info.engine} engine cannot differentiate the entropy; set it to 0${info.engine === "tinker" ? ", or engine.entropy to estimate" : ""}`,
    );
  }
  if (klCoefficient > 0 && !reference) {
    throw new InputError(
      `algorithm.klCoefficient is ${klCoefficient}, but the ${info.engine} engine (${info.device}) has no frozen reference; set it to 0`,
    );
  }
  checkOptimizer(config.optimizer, info);
}

/** @throws InputError if AdamW is to be set in a way that the engine would ignore. */
export function checkOptimizer(optimizer: RunConfig["optimizer"], info: PolicyInfo): void {
  const fixed = Object.entries(info.fixedOptimizer ?? {}) as [
    keyof NonNullable<PolicyInfo["fixedOptimizer"]>,
    number,
  ][];
  const differing = fixed.filter(([name, value]) => optimizer[name] !== value);
  if (differing.length === 0) return;
  const list = differing.map(([name, value]) => `optimizer.${name} is ${optimizer[name]}, the server uses ${value}`);
  throw new InputError(
    `${info.device} does not take these settings from a request: ${list.join("; ")}. Ask for the server's values${fixed.length > 1 ? ", or change its configuration and tell it in engine.serverOptimizer" : ""}`,
  );
}

/** @throws InputError if there are no questions, ids repeat, or a prompt and its longest response do not fit the context. */
export function checkQuestions(
  questions: readonly Question[],
  codec: TextCodec,
  config: RunConfig,
  info: PolicyInfo,
): void {
  if (questions.length === 0) throw new InputError("The data set has no questions; training needs at least one");
  const ids = new Set<string>();
  for (const { id } of questions) {
    if (ids.has(id)) throw new InputError(`Two questions have the id "${id}"; ids must be unique in a data set`);
    ids.add(id);
  }
  const { maxTokens } = config.sampling;
  // A refinement is trained as an answer to the bare question: it must fit there, too.
  const longest = config.refinement.count > 0 ? Math.max(maxTokens, refinementLength(config)) : maxTokens;
  const tooLong = questions
    .map((question) => ({ id: question.id, tokens: encodePrompt(codec, question.prompt).length }))
    .filter(({ tokens }) => tokens + longest > info.contextLength);
  if (tooLong.length === 0) {
    if (config.group.expert) checkSolutions(questions, codec, info);
    return;
  }
  const shown = tooLong.slice(0, SHOWN_IDS).map(({ id, tokens }) => `${id} (${tokens} tokens)`);
  throw new InputError(
    `${tooLong.length} of ${questions.length} prompts do not fit: with responses of up to ${longest} tokens and a context of ${info.contextLength} a prompt may have ${info.contextLength - longest} tokens. Too long: ${shown.join(", ")}${tooLong.length > SHOWN_IDS ? ", …" : ""}. Leave them out or lower sampling.maxTokens`,
  );
}

/** @throws InputError that lists the questions whose reference solution cannot be trained on. */
function checkSolutions(questions: readonly Question[], codec: TextCodec, info: PolicyInfo): void {
  const problems = questions.flatMap((question) => {
    const reason = solutionProblem(question, codec, info);
    return reason === null ? [] : [`${question.id} (${reason})`];
  });
  if (problems.length === 0) return;
  throw new InputError(
    `group.expert is true, but ${problems.length} of ${questions.length} questions have no reference solution that can be trained on: ${problems.slice(0, SHOWN_IDS).join(", ")}${problems.length > SHOWN_IDS ? ", …" : ""}. Leave them out, name the column in data.columns.solution, or raise engine.contextLength`,
  );
}

function solutionProblem(question: Question, codec: TextCodec, info: PolicyInfo): string | null {
  if (question.solution === undefined || question.solution === "") return "none";
  try {
    const length = encodePrompt(codec, question.prompt).length + encodeSolution(codec, question).tokens.length;
    return length > info.contextLength
      ? `${length} tokens with the prompt, the context holds ${info.contextLength}`
      : null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** @throws InputError if critiques are wanted and nobody writes them. */
export function checkCritic(config: RunConfig, critic: Critic | null): void {
  if ((config.refinement.count > 0 || config.group.critiques) && critic === null) {
    throw new InputError(
      `critique.type is ${config.critique.type}: train() needs a critic; pass the one resolveCritic() returns`,
    );
  }
}

/** From a configuration and the command line to a failure analysis. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { critiqueSchema } from "../config/critique-schema.js";
import { InputError } from "../config/errors.js";
import { loadRunConfig } from "../config/run.js";
import type { RunConfig } from "../config/schema.js";
import { loadUserModule } from "../config/user-module.js";
import { checkPrompts, verifiableQuestions } from "../data/check.js";
import { loadQuestions } from "../data/load.js";
import type { Question } from "../data/question.js";
import type { EvaluationTarget } from "../evaluation/directory.js";
import type { NamedCritic } from "../evaluation/failures/analyse.js";
import { resolveCritic } from "../feedback/critique/resolve.js";
import { resolveRewards } from "../feedback/reward/resolve.js";
import { createScorer, type Scorer } from "../feedback/reward/reward.js";
import { readModelLimits } from "../policy/model-limits.js";
import type { TextCodec } from "../policy/policy.js";
import { loadTextCodec } from "../text/codec.js";
import { loadEvaluationSets } from "./evaluation.js";
import { type EvaluationWishes, fingerprint, loadTarget, withWishes } from "./evaluation-target.js";
import { tokenizerDirectoryOf } from "./prepare.js";

export interface FailureWishes extends EvaluationWishes {
  readonly model?: string;
  readonly overrides: readonly string[];
  /** Default: simple, simple_gt and the one that the YAML configures. Else kinds of critique: `simple`, `simple_gt`, `self`, `program=FILE`, `checkpoint=DIRECTORY`, or one that the YAML configures. */
  readonly critics?: readonly string[];
}

export interface PreparedFailures {
  readonly config: RunConfig;
  readonly codec: TextCodec;
  readonly questions: readonly Question[];
  readonly score: Scorer;
  readonly critics: readonly NamedCritic[];
  readonly target: EvaluationTarget;
  readonly parent: string;
  readonly warnings: readonly string[];
}

/**
 * The questions are those of --benchmark or --files, else those that the run trains on.
 * @throws InputError on the first thing that is wrong
 */
export async function prepareFailures(argument: string, wishes: FailureWishes): Promise<PreparedFailures> {
  const { file, isRun, overrides } = loadTarget(argument, wishes);
  const config = inFloat32(withWishes(loadRunConfig({ file, overrides }).config, wishes));
  const rewards = await resolveRewards(config.reward, (path) => loadUserModule(path));
  const critics: NamedCritic[] = [];
  for (const name of wishes.critics ?? defaultCritics(config)) critics.push(await namedCritic(name, config));
  const repeated = critics.find(({ name }, index) => critics.findIndex((other) => other.name === name) !== index);
  if (repeated !== undefined) throw new InputError(`the critic ${repeated.name} stands twice`);

  const ownScore = createScorer(rewards, config.reward.correctAt);
  const scorers = new Map<Question, Scorer>();
  const warnings: string[] = [];
  if (wishes.files === undefined && wishes.benchmarks === undefined) {
    const loaded = await loadQuestions({
      ...config.data,
      ...(wishes.limit === undefined ? {} : { limit: wishes.limit }),
    });
    const { kept, warning } = verifiableQuestions(loaded, rewards, config.reward.unverifiableGold);
    if (warning !== null) warnings.push(warning);
    for (const { question } of kept) scorers.set(question, ownScore);
  } else {
    const { sets, warnings: found } = await loadEvaluationSets(config, rewards);
    warnings.push(...found);
    for (const { located, verifier } of sets) {
      const score: Scorer = async (question, response) => verifier.score(question, response);
      for (const { question } of located) scorers.set(question, score);
    }
  }
  const questions = [...scorers.keys()];
  const codec = loadTextCodec(tokenizerDirectoryOf(config));
  const { contextLength, vocabularySize } = readModelLimits(config.engine);
  checkPrompts(
    questions.map((question) => ({ question, location: question.id })),
    codec,
    { contextLength, maxTokens: config.sampling.maxTokens, vocabularySize },
  );
  return {
    ...{ config, codec, questions, critics, warnings },
    score: (question, response) => (scorers.get(question) ?? ownScore)(question, response),
    target: { kind: isRun ? "run" : "model", name: argument, ...fingerprint(config.engine) },
    parent: isRun ? join(argument, "failures") : "failures",
  };
}

/** A measurement is of the policy itself, not of what its rollouts are drawn with. */
function inFloat32(config: RunConfig): RunConfig {
  const { engine } = config;
  return engine.type === "embedded" ? { ...config, engine: { ...engine, rolloutPrecision: "float32" } } : config;
}

function defaultCritics({ critique }: RunConfig): string[] {
  return [...new Set(["simple", "simple_gt", ...(critique.type === "none" ? [] : [critique.type])])];
}

async function namedCritic(text: string, config: RunConfig): Promise<NamedCritic> {
  const [type = "", ...rest] = text.split("=");
  const value = rest.join("=");
  if (config.critique.type === type && value === "") {
    return { name: type, critic: await critic(text, config.critique) };
  }
  const path = resolve(value);
  switch (type) {
    case "simple":
    case "simple_gt":
    case "self":
      return { name: type, critic: await critic(text, critiqueSchema.parse({ type })) };
    case "program":
    case "checkpoint":
      if (value === "" || !existsSync(path)) {
        throw new InputError(
          `--critic ${text}: ${value === "" ? "" : `${path} does not exist; `}write --critic ${type}=${type === "program" ? "critic.ts" : "DIRECTORY"}, or set critique.type ${type} in the YAML`,
        );
      }
      return {
        name: type,
        critic: await critic(
          text,
          critiqueSchema.parse(type === "program" ? { type, module: path } : { type, model: path }),
        ),
      };
    case "teacher":
      throw new InputError(
        `--critic ${text}: its endpoint has to be configured; set critique.type teacher in the YAML`,
      );
    default:
      throw new InputError(
        `--critic ${text}: there is no such critic; there are simple, simple_gt, self, program=FILE, checkpoint=DIRECTORY and teacher`,
      );
  }
}

async function critic(text: string, config: RunConfig["critique"]) {
  const resolved = await resolveCritic(config, (path) => loadUserModule(path));
  if (resolved === null) throw new InputError(`--critic ${text}: writes no critique`);
  return resolved;
}

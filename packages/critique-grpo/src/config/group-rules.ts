/** Rules between objective and training group: nonsense is told when the configuration is read. Pure. */
import { critiqueTargetTemplateProblem } from "../feedback/critique-target.js";
import type { ConfigProblem } from "./errors.js";
import type { RunConfig } from "./schema.js";

type Key = ConfigProblem["path"];

const problem = (path: Key, message: string): ConfigProblem => ({ path, message });

/** Every problem with what a group is made of and what is done with it. */
export function checkGroup(config: RunConfig): ConfigProblem[] {
  const { objective } = config.algorithm;
  return [
    ...checkMembers(config),
    ...checkGuards(config),
    ...(objective === "supervised" ? checkSupervised(config) : checkCompared(config)),
  ];
}

/** What holds for both objectives. */
function checkMembers({ algorithm, refinement, group, critique }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { initialResponses } = algorithm;
  if (refinement.count > initialResponses) {
    problems.push(
      problem(
        ["refinement", "count"],
        `is ${refinement.count}, but only ${initialResponses} responses are there to be refined; lower it or raise algorithm.initialResponses`,
      ),
    );
  }
  if (initialResponses === 0 && (group.initial !== "none" || group.critiques)) {
    problems.push(
      problem(
        ["algorithm", "initialResponses"],
        `is 0, but ${group.critiques ? "group.critiques" : `group.initial ${group.initial}`} trains on what comes of them; set it to at least 1, or group.initial to none and group.critiques to false`,
      ),
    );
  }
  if (group.critiques && critique.type === "none") {
    problems.push(
      problem(["group", "critiques"], "is true, but critique.type is none: nobody writes critiques; set critique.type"),
    );
  }
  const template = group.critiqueTemplate === undefined ? null : critiqueTargetTemplateProblem(group.critiqueTemplate);
  if (template !== null) problems.push(problem(["group", "critiqueTemplate"], template));
  return problems;
}

/** A guard that has nothing to guard is a mistake. */
function checkGuards({ algorithm, refinement, group }: RunConfig): ConfigProblem[] {
  const { maxGradientShare, importanceCap, annealing } = algorithm.offPolicy;
  const guards = Object.entries({ maxGradientShare, importanceCap, annealing }).filter(([, value]) => value !== null);
  const at = (key: string) => ["algorithm", "offPolicy", key];
  if (algorithm.objective === "supervised") {
    return guards.map(([key]) =>
      problem(at(key), "is set, but algorithm.objective supervised has no off-policy term; set it to null"),
    );
  }
  if (refinement.count === 0 && !group.expert) {
    return guards.map(([key]) =>
      problem(at(key), "is set, but there are neither refinements nor expert solutions to guard; set it to null"),
    );
  }
  const problems: ConfigProblem[] = [];
  if (maxGradientShare !== null && group.initial === "none") {
    problems.push(
      problem(
        at("maxGradientShare"),
        `is ${maxGradientShare}, but group.initial is none: the share of off-policy tokens is always 1; set it to null`,
      ),
    );
  }
  if (importanceCap !== null && group.expert) {
    problems.push(
      problem(
        at("importanceCap"),
        `is ${importanceCap}, but group.expert is true and no sampler knows the probability of a reference solution; set it to null or group.expert to false`,
      ),
    );
  }
  return problems;
}

/** A policy gradient compares the rewards of a group. */
function checkCompared({ algorithm, refinement, group }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (group.critiques) {
    problems.push(
      problem(
        ["group", "critiques"],
        "is true, but a critique has no reward to take a policy gradient of; set algorithm.objective to supervised",
      ),
    );
  }
  if (group.initial === "correct") {
    problems.push(
      problem(
        ["group", "initial"],
        "is correct, but a policy gradient needs the wrong responses to compare with; set it to all, or algorithm.objective to supervised",
      ),
    );
  }
  if (algorithm.samplerCorrection !== null && group.initial === "none") {
    problems.push(
      problem(
        ["algorithm", "samplerCorrection"],
        "is set, but group.initial is none: it weighs the tokens of initial responses, of which none are trained on; set it to null",
      ),
    );
  }
  const initial = group.initial === "none" ? 0 : algorithm.initialResponses;
  const members = initial + refinement.count + (group.expert ? 1 : 0);
  if (members < 2) {
    problems.push(
      problem(
        ["algorithm", "initialResponses"],
        `gives a group of ${members} with group.initial ${group.initial}, ${refinement.count} refinements and ${group.expert ? "an" : "no"} expert solution: there is nothing to be compared with; a group needs at least 2`,
      ),
    );
  }
  return problems;
}

/** Cross-entropy imitates whatever it is given. */
function checkSupervised({ algorithm, refinement, group }: RunConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (algorithm.clip !== null) {
    problems.push(
      problem(["algorithm", "clip"], "is set, but algorithm.objective supervised has no ratio to clip; set it to null"),
    );
  }
  if (algorithm.samplerCorrection !== null) {
    problems.push(
      problem(
        ["algorithm", "samplerCorrection"],
        "is set, but algorithm.objective supervised has no importance weights to correct; set it to null",
      ),
    );
  }
  if (group.initial === "all") {
    problems.push(
      problem(
        ["group", "initial"],
        "is all, but algorithm.objective supervised would imitate wrong responses as well; set it to correct or none",
      ),
    );
  }
  if (refinement.count > 0 && !refinement.onlyCorrect) {
    problems.push(
      problem(
        ["refinement", "onlyCorrect"],
        "is false, but algorithm.objective supervised would imitate wrong refinements as well; set it to true",
      ),
    );
  }
  if (group.initial === "none" && refinement.count === 0 && !group.expert && !group.critiques) {
    problems.push(
      problem(
        ["group"],
        "leaves nothing to train on; set group.initial to correct, group.expert, group.critiques, or refinement.count",
      ),
    );
  }
  return problems;
}

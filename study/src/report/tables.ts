/** The tables of the report. */
import type { CriticName, Family } from "../family.js";
import { criticOf, METHOD_GROUPS, METHODS, type MethodGroup, methodsOf } from "../methods.js";
import { type Evidence, estimate, greedy, greedyAtTokens, pass1, pass8 } from "./evidence.js";
import { count, markdownTable, percent, plain, points } from "./format.js";

/** What the others are compared with. */
export const REFERENCE = "dr-grpo";

const GROUP_TITLES: Readonly<Record<MethodGroup, string>> = {
  main: "Critique-GRPO and reward alone",
  baseline: "Other baselines",
  guard: "Guards against collapse",
  ablation: "Ablations",
  sensitivity: "Sensitivity",
};

/** One table a group of methods: accuracy after training, and what it took. */
export function resultTables(evidence: Evidence, family: Family): string {
  const { name } = family;
  const header = [
    "method",
    "critic",
    "n",
    "greedy %",
    `Δ ${REFERENCE}`,
    "pass@1 %",
    "pass@8 %",
    "persistent %",
    "sampled tokens",
    "entropy",
    "length",
    "CPU s",
  ];
  const budget = tokenBudget(evidence, family);
  const sections = METHOD_GROUPS.map((group) => {
    const rows = methodsOf(family)
      .filter((method) => method.group === group)
      .map((method) => {
        const results = evidence.of(name, method.name);
        const of = (measure: (result: (typeof results)[number]) => number | null) => estimate(results.map(measure));
        return [
          method.name,
          criticOf(method, family) ?? "–",
          String(results.length),
          percent(of(greedy)),
          method.name === REFERENCE ? "" : points(evidence.difference(name, method.name, REFERENCE, greedy)),
          percent(of(pass1)),
          percent(of(pass8)),
          percent(of(({ after }) => after.persistentFailures)),
          count(of(({ training }) => training.sampledTokens)),
          plain(
            of(({ training }) => training.entropy.last),
            3,
          ),
          plain(
            of(({ training }) => training.length.last),
            2,
          ),
          plain(
            of(({ training }) => training.cpuSeconds),
            0,
          ),
        ];
      });
    const table = `### ${GROUP_TITLES[group]}\n\n${markdownTable(header, rows)}`;
    const idle = group === "guard" ? idleGuards(evidence, family) : [];
    return idle.length === 0
      ? table
      : `${table}\n\nNever acted, for the trained weights are those without it on every seed: ${idle.join(", ")}.`;
  });
  const equal = budget === null ? [] : [equalTokensTable(evidence, family, budget)];
  return [...sections, ...equal].join("\n\n");
}

/** Guards that changed nothing: the same weights as the family's main method, seed by seed. */
function idleGuards(evidence: Evidence, { name, mainCritic }: Family): string[] {
  const guards = METHODS.filter(({ group }) => group === "guard").map((method) => method.name);
  return guards.filter((guard) => {
    const pairs = evidence.pairs(name, guard, `critique-grpo-${mainCritic}`);
    return pairs.length > 0 && pairs.every(([guarded, plain]) => guarded.weights === plain.weights);
  });
}

/** The number of sampled tokens that every main run has reached; null without results. */
export function tokenBudget(evidence: Evidence, family: Family): number | null {
  const main = methodsOf(family).filter((method) => method.group === "main");
  const reached = main.flatMap((method) => evidence.of(family.name, method.name).map((r) => r.training.sampledTokens));
  return reached.length === 0 ? null : Math.min(...reached);
}

function equalTokensTable(evidence: Evidence, family: Family, budget: number): string {
  const at = (result: Parameters<typeof greedyAtTokens>[0]) => greedyAtTokens(result, budget);
  const rows = methodsOf(family)
    .filter((method) => method.group === "main")
    .map(({ name }) => [
      name,
      String(evidence.of(family.name, name).length),
      percent(estimate(evidence.of(family.name, name).map(at))),
      name === REFERENCE ? "" : points(evidence.difference(family.name, name, REFERENCE, at)),
    ]);
  return `### At ${Math.round(budget).toLocaleString("en-US")} sampled tokens\n\n${markdownTable(["method", "n", "greedy %", `Δ ${REFERENCE}`], rows)}`;
}

/** The warm-up models, from which every method starts. */
export function warmUpTable(evidence: Evidence, family: Family): string {
  const seeds = evidence.seeds(family.name);
  const of = (measure: (result: (typeof seeds)[number]) => number | null) => estimate(seeds.map(measure));
  const sources = Object.keys(seeds[0]?.before.heldOutBySource ?? {}).sort();
  const rows = [
    ["all", ...(["greedy", "pass1", "pass8"] as const).map((key) => percent(of(({ before }) => before.heldOut[key])))],
    ...sources.map((source) => [
      source,
      ...(["greedy", "pass1", "pass8"] as const).map((key) =>
        percent(of(({ before }) => before.heldOutBySource[source]?.[key] ?? null)),
      ),
    ]),
  ];
  return markdownTable(["held-out questions", "greedy %", "pass@1 %", "pass@8 %"], rows);
}

/** How many wrong answers a refinement corrects, by critic: before training, and after with each main method. */
export function refinementTable(evidence: Evidence, family: Family): string {
  const critics = Object.keys(family.critics) as CriticName[];
  const success = (when: "before" | "after", critic: CriticName) => (result: (typeof evidence.results)[number]) =>
    result[when].refinement[critic]?.success ?? null;
  const row = (label: string, results: readonly (typeof evidence.results)[number][], when: "before" | "after") => [
    label,
    String(results.length),
    ...critics.map((critic) => percent(estimate(results.map(success(when, critic))))),
  ];
  const rows = [
    row("warm-up", evidence.seeds(family.name), "before"),
    ...methodsOf(family)
      .filter((method) => method.group === "main")
      .map(({ name }) => row(`after ${name}`, evidence.of(family.name, name), "after")),
  ];
  return markdownTable(["model", "n", ...critics], rows);
}

/** What refinements are like in training: the same numbers that a run writes (docs/metrics.md). */
export function trainingTable(evidence: Evidence, family: Family): string {
  const rows = methodsOf(family)
    .filter(({ critic }) => critic !== null)
    .map(({ name }) => {
      const results = evidence.of(family.name, name);
      const mean = (pick: (training: (typeof results)[number]["training"]) => number | null, digits: number) =>
        plain(estimate(results.map(({ training }) => pick(training))), digits);
      return [
        name,
        String(results.length),
        mean((t) => t.fixRate.first, 2),
        mean((t) => t.fixRate.last, 2),
        mean((t) => t.refinementProbability.first, 2),
        mean((t) => t.refinementProbability.last, 2),
        mean((t) => t.gradientShare.first, 2),
        mean((t) => t.gradientShare.last, 2),
        mean((t) => t.entropy.first, 3),
        mean((t) => t.entropy.last, 3),
      ];
    });
  const header = ["method", "n", "fix rate, first fifth", "last", "π of refinements, first", "last"];
  return markdownTable([...header, "gradient share, first", "last", "entropy, first", "last"], rows);
}

/** Every setting that the study compares. A method is a preset, a critic and overrides of the family's configuration. */
import type { CriticName, Family, FamilyName } from "./family.js";

export const METHOD_GROUPS = ["main", "baseline", "ablation", "guard", "sensitivity"] as const;
export type MethodGroup = (typeof METHOD_GROUPS)[number];

export interface Method {
  /** Unique; part of file names. */
  readonly name: string;
  readonly group: MethodGroup;
  readonly preset: string;
  /** Who writes critiques; "main": the family's main critic; null: nobody. */
  readonly critic: CriticName | "main" | null;
  /** As after `--set`. */
  readonly overrides?: (family: Family) => readonly string[];
  /** Default: every family that has the critic. */
  readonly families?: readonly FamilyName[];
}

/** In the order in which they are run. */
export const METHODS: readonly Method[] = [
  { name: "dr-grpo", group: "main", preset: "dr-grpo", critic: null },
  { name: "critique-grpo-text", group: "main", preset: "critique-grpo-text", critic: "text" },
  { name: "critique-grpo-self", group: "main", preset: "critique-grpo-self", critic: "self" },
  { name: "critique-grpo-simple", group: "main", preset: "critique-grpo-simple", critic: "simple" },
  {
    name: "dr-grpo-equal-tokens",
    group: "main",
    preset: "dr-grpo",
    critic: null,
    overrides: ({ equalTokenResponses }) => [`algorithm.initialResponses=${equalTokenResponses}`],
  },
  { name: "critique-grpo-simple-gt", group: "main", preset: "critique-grpo", critic: "simple_gt" },
  { name: "grpo", group: "main", preset: "grpo", critic: null },

  { name: "luffy", group: "baseline", preset: "luffy", critic: null },
  { name: "raft", group: "baseline", preset: "raft", critic: null },
  { name: "refinement-ft", group: "baseline", preset: "refinement-ft", critic: "main" },
  { name: "critique-in-the-loop-ft", group: "baseline", preset: "critique-in-the-loop-ft", critic: "main" },
  { name: "sft", group: "baseline", preset: "sft", critic: null },
  {
    name: "critique-ft",
    group: "baseline",
    preset: "critique-ft",
    critic: "text",
    // How a model is asked for a critique: only the models of this family were taught to write any.
    overrides: () => ["group.critiqueTemplate={question}{response}?"],
    families: ["operations"],
  },

  { name: "no-shaping", group: "ablation", preset: "critique-grpo-no-shaping", critic: "main" },
  { name: "no-selection", group: "ablation", preset: "critique-grpo-no-selection", critic: "main" },
  { name: "refinements-only", group: "ablation", preset: "critique-grpo-refinements-only", critic: "main" },
  { name: "k2", group: "ablation", preset: "critique-grpo-k2", critic: "main" },

  guard("only-correct", "refinement.onlyCorrect=true"),
  guard("gradient-share-0.2", "algorithm.offPolicy.maxGradientShare=0.2"),
  guard("gradient-share-0.05", "algorithm.offPolicy.maxGradientShare=0.05"),
  guard("importance-cap-1", "algorithm.offPolicy.importanceCap=1"),
  guard("annealing", "algorithm.offPolicy.annealing={ steps: 1000 }"),

  sensitivity("gamma-0.03", "algorithm.shaping.gamma=0.03"),
  sensitivity("gamma-0.3", "algorithm.shaping.gamma=0.3"),
  sensitivity("learning-rate-1e-4", "optimizer.learningRate=1e-4"),
  sensitivity("learning-rate-1e-3", "optimizer.learningRate=1e-3"),
  sensitivity("group-of-4", "algorithm.initialResponses=3"),
  sensitivity("group-of-16", "algorithm.initialResponses=15"),
];

function guard(name: string, ...overrides: readonly string[]): Method {
  return { name, group: "guard", preset: "critique-grpo", critic: "main", overrides: () => overrides };
}

function sensitivity(name: string, ...overrides: readonly string[]): Method {
  return { name, group: "sensitivity", preset: "critique-grpo", critic: "main", overrides: () => overrides };
}

/** The methods of a family, in order. */
export function methodsOf(family: Family): readonly Method[] {
  return METHODS.filter(
    ({ critic, families }) =>
      (families?.includes(family.name) ?? true) && (critic === null || critic === "main" || critic in family.critics),
  );
}

/** @throws RangeError with the names there are. */
export function methodNamed(name: string): Method {
  const found = METHODS.find((method) => method.name === name);
  if (found) return found;
  throw new RangeError(`no method is called "${name}"; there are ${METHODS.map((method) => method.name).join(", ")}`);
}

/** The critic that writes for a method in a family. */
export function criticOf(method: Method, family: Family): CriticName | null {
  return method.critic === "main" ? family.mainCritic : method.critic;
}

/** What is put over the family's configuration file, seed and paths apart. */
export function methodOverrides(method: Method, family: Family): readonly string[] {
  const critic = criticOf(method, family);
  return [
    `preset=${method.preset}`,
    `critique=${critic === null ? "{ type: none }" : family.critics[critic]!}`,
    `steps=${family.steps}`,
    ...(method.overrides?.(family) ?? []),
  ];
}

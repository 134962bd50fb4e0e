/** The paper's claims, each with the comparison that bears on it here and a verdict by rule. */
import { families } from "../families/index.js";
import { FAMILY_NAMES, type FamilyName } from "../family.js";
import { methodNamed, methodsOf } from "../methods.js";
import {
  type Evidence,
  estimate,
  greedy,
  greedyAtTokens,
  type Measure,
  pass8,
  type SampleEstimate,
} from "./evidence.js";
import { markdownTable, percent, plain, points } from "./format.js";
import { tokenBudget } from "./tables.js";

interface Comparison {
  readonly method: string;
  readonly other: string;
  readonly measure: Measure | "greedy at equal tokens";
  /** What the difference is of. */
  readonly what: string;
  /** How a difference is written; default: percentage points. */
  readonly unit?: "nats";
}

interface Claim {
  readonly claim: string;
  readonly comparisons: (family: FamilyName) => readonly Comparison[];
  /** Said beside the numbers, by family. */
  readonly remark?: Readonly<Partial<Record<FamilyName, string>>>;
}

/** Fewer seeds than this decide nothing. */
const FEWEST_SEEDS = 3;

const accuracy = (method: string, other: string): Comparison => ({ method, other, measure: greedy, what: "greedy" });
/** Critique-GRPO with the family's main critic, by the name of its method. */
const mainMethod = (family: FamilyName) => `critique-grpo-${families[family].mainCritic}`;

export const CLAIMS: readonly Claim[] = [
  {
    claim: "Critique-GRPO with critiques in words learns more than reinforcement from the reward alone, at equal steps",
    comparisons: () => [accuracy("critique-grpo-text", "dr-grpo"), accuracy("critique-grpo-text", "grpo")],
  },
  {
    claim: "… and not because it samples more: it is ahead when as many tokens have been sampled",
    comparisons: () => [
      { ...accuracy("critique-grpo-text", "dr-grpo"), measure: "greedy at equal tokens" },
      accuracy("critique-grpo-text", "dr-grpo-equal-tokens"),
    ],
  },
  {
    claim: "Critiques that only say right or wrong (`simple`) help already",
    comparisons: () => [accuracy("critique-grpo-simple", "dr-grpo")],
    remark: {
      "carry-addition":
        "Not run: the warm-up teaches no such critique, and “incorrect” does not tell a rule that the model does not know. A study of the same task in PyTorch (shared/spec/quickstart-experiment.md) measured no gain.",
    },
  },
  {
    claim: "Richer critiques help more: words over the gold answer, the gold answer over right or wrong",
    comparisons: () => [
      accuracy("critique-grpo-text", "critique-grpo-simple-gt"),
      accuracy("critique-grpo-simple-gt", "critique-grpo-simple"),
    ],
  },
  {
    claim: "The model's own critiques help (self-critique)",
    comparisons: () => [
      accuracy("critique-grpo-self", "dr-grpo"),
      { ...accuracy("critique-grpo-self", "dr-grpo"), measure: "greedy at equal tokens" },
    ],
    remark: { "carry-addition": "Not run: the model of this task cannot write critiques." },
  },
  {
    claim: "Questions that are never solved in k tries become solvable: fewer persistent failures",
    comparisons: (family) => [
      {
        ...accuracy(mainMethod(family), "dr-grpo"),
        measure: ({ after }) => 1 - after.persistentFailures,
        what: "training questions solved in 8 tries",
      },
      { ...accuracy(mainMethod(family), "dr-grpo"), measure: pass8, what: "pass@8" },
    ],
  },
  {
    claim: "Online reinforcement is better than supervised fine-tuning on the same responses and refinements",
    comparisons: (family) =>
      ["raft", "refinement-ft", "critique-ft", "critique-in-the-loop-ft"].map((other) =>
        accuracy(mainMethod(family), other),
      ),
  },
  {
    claim: "It is better than imitating expert solutions, supervised or off-policy (LUFFY)",
    comparisons: (family) => [accuracy(mainMethod(family), "luffy"), accuracy(mainMethod(family), "sft")],
    remark: {
      "carry-addition": "Here the expert's solutions show the very rule that is missing.",
      operations: "Here the expert's solutions name the very operations that are missing.",
    },
  },
  {
    claim: "Shaping of the refinements' probabilities, p/(p + γ), matters",
    comparisons: (family) => [accuracy(mainMethod(family), "no-shaping")],
  },
  {
    claim: "Selecting right refinements matters",
    comparisons: (family) => [accuracy(mainMethod(family), "no-selection")],
  },
  {
    claim: "Initial responses and refinements are both needed",
    comparisons: (family) => [accuracy(mainMethod(family), "refinements-only")],
  },
  {
    claim: "One refinement a group is enough (k = 2 is no better)",
    comparisons: (family) => [accuracy(mainMethod(family), "k2")],
  },
  {
    claim: "Refinements keep exploration up: entropy stays higher than with the reward alone",
    comparisons: (family) => [
      {
        ...accuracy(mainMethod(family), "dr-grpo"),
        measure: ({ training }) => training.entropy.last,
        what: "entropy in the last fifth",
        unit: "nats",
      },
    ],
  },
];

export function claimsSection(evidence: Evidence): string {
  return CLAIMS.map((claim, index) => {
    const rows = FAMILY_NAMES.flatMap((family) => claimRows(evidence, claim, family));
    const table = markdownTable(["family", "compared", "of", "difference", "n", "verdict"], rows);
    return `### ${index + 1}. ${claim.claim}\n\n${table}`;
  }).join("\n\n");
}

function claimRows(evidence: Evidence, claim: Claim, family: FamilyName): string[][] {
  const there = new Set(methodsOf(families[family]).map(({ name }) => name));
  const comparisons = claim.comparisons(family).filter(({ method, other }) => there.has(method) && there.has(other));
  const remark = claim.remark?.[family];
  if (comparisons.length === 0) return [[family, "–", "–", "–", "0", remark ?? "not tested here"]];
  return comparisons.map(({ method, other, measure, what, unit }) => {
    const budget = tokenBudget(evidence, families[family]) ?? 0;
    const of: Measure = measure === "greedy at equal tokens" ? (result) => greedyAtTokens(result, budget) : measure;
    const found = evidence.difference(family, method, other, of);
    return [
      family,
      `${methodNamed(method).name} − ${methodNamed(other).name}`,
      measure === "greedy at equal tokens" ? "greedy, equal tokens" : what,
      unit === "nats" ? plain(found, 3) : points(found),
      String(found?.n ?? 0),
      `${verdict(found)}${remark === undefined ? "" : `. ${remark}`}`,
    ];
  });
}

/** By the 95 % interval of the difference over seeds. */
export function verdict(difference: SampleEstimate | null): string {
  if (difference === null) return "not run yet";
  if (difference.n < FEWEST_SEEDS) return "too few seeds";
  if (difference.low > 0) return "**higher**";
  if (difference.high < 0) return "**lower**";
  return "no clear difference";
}

/** How often a critique turns a wrong answer of the warm-up into a right one, in a sentence a family. */
export function latentAbility(evidence: Evidence, family: FamilyName): string {
  const seeds = evidence.seeds(family);
  const rate = (measure: Measure) => percent(estimate(seeds.map(measure)));
  const critics = Object.keys(families[family].critics) as (keyof (typeof families)[FamilyName]["critics"])[];
  const each = critics.map(
    (critic) => `\`${critic}\` ${rate(({ before }) => before.refinement[critic]?.success ?? null)} %`,
  );
  return `Of wrong answers of the warm-up models a refinement corrects, by critic: ${each.join(", ")}; their pass@1 on all held-out questions is ${rate(({ before }) => before.heldOut.pass1)} %.`;
}

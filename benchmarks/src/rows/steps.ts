import type { BenchmarkRow } from "./types.js";

/** Prompts, completions a prompt, tokens of a prompt, most tokens of a completion. */
const size = [16, 8, 8, 64] as const;
const [prompts, completions, , tokens] = size;

/** Completions in one micro-batch of TRL, and its attention implementation. */
const trlVariants = [
  ["128", "sdpa"],
  ["32", "sdpa"],
  ["128", "eager"],
] as const;

export const stepRows: readonly BenchmarkRow[] = [
  {
    name: "grpo-step",
    title: `GRPO step S: ${prompts} prompts × ${completions} completions × ${tokens} tokens`,
    model: "S",
    arguments: [...size, "full"],
    ours: { ours: "grpo-step" },
    peer: { python: "grpo_step.py" },
    peerTitle: "TRL GRPOTrainer",
    peerVariants: trlVariants,
    wantedRatio: 1.8,
  },
  {
    name: "grpo-step-random",
    title: `GRPO step S: the same, completions of 1 to ${tokens} tokens`,
    model: "S",
    arguments: [...size, "random"],
    ours: { ours: "grpo-step" },
    peer: { python: "grpo_step.py" },
    peerTitle: "TRL GRPOTrainer",
    peerVariants: trlVariants,
    wantedRatio: 3,
  },
  {
    name: "critique-grpo-step",
    title: `Critique-GRPO step S (simple_gt, 7 + 1, every response refined) over the plain GRPO step, both ours`,
    model: "S",
    arguments: size,
    ours: { ours: "trainer-step", arguments: ["critique-grpo"] },
    peer: { ours: "trainer-step", arguments: ["grpo"] },
    peerTitle: "the plain step of this package, 8 completions",
    // At most 1.9 times the time.
    wantedRatio: 1 / 1.9,
  },
];

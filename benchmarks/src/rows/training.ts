import { trainingFlops } from "../flops.js";
import { type ModelName, models } from "../models.js";
import type { BenchmarkRow } from "./types.js";

const batch = 32;
const length = 128;

const equalLengths = (name: string, model: ModelName): BenchmarkRow => ({
  name,
  title: `Training ${model}: forward, backward, AdamW; batch ${batch} × ${length} tokens`,
  model,
  arguments: [batch, length],
  ours: { ours: "training" },
  peer: { python: "training.py" },
  peerTitle: "PyTorch eager, SDPA",
  wantedRatio: 1.05,
  flops: trainingFlops(models[model], batch, length),
});

export const trainingRows: readonly BenchmarkRow[] = [
  equalLengths("training", "S"),
  equalLengths("training-m", "M"),
  {
    name: "training-unequal",
    title: "Training S: the lengths of 32 GSM8K questions with solutions, loss on the solutions",
    model: "S",
    arguments: ["gsm8k-lengths.json"],
    ours: { ours: "training-unequal" },
    peer: { python: "training_unequal.py" },
    peerTitle: "PyTorch eager, SDPA, padded to the longest of the micro-batch",
    // Sequences in a micro-batch.
    peerVariants: [["32"], ["8"]],
    wantedRatio: 1.8,
  },
];

import type { ModelName } from "../models.js";
import type { BenchmarkRow } from "./types.js";

const promptLength = 8;

function generation(
  name: string,
  model: ModelName,
  { batch, tokens, wantedRatio }: { readonly batch: number; readonly tokens: number; readonly wantedRatio: number },
): BenchmarkRow {
  return {
    name,
    title: `Generation ${model}: sampling, ${batch === 1 ? "one sequence" : `batch ${batch}`}, ${promptLength} prompt + ${tokens} new tokens`,
    model,
    arguments: [batch, promptLength, tokens],
    ours: { ours: "generation" },
    peer: { python: "generation.py" },
    peerTitle: "transformers generate",
    wantedRatio,
  };
}

export const generationRows: readonly BenchmarkRow[] = [
  generation("generation", "S", { batch: 128, tokens: 64, wantedRatio: 2.5 }),
  generation("generation-m", "M", { batch: 128, tokens: 128, wantedRatio: 4 }),
  generation("generation-m-single", "M", { batch: 1, tokens: 128, wantedRatio: 2 }),
];

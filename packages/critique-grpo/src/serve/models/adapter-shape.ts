/** LoRA as the Tinker protocol asks for it, in the engine's terms. */
import type { LoraOptions, LoraTarget } from "@critique-grpo/engine";
import { BadRequest } from "../../http/errors.js";

/** Which adapters a model has. */
export interface AdapterShape {
  readonly rank: number;
  readonly trainAttn: boolean;
  readonly trainMlp: boolean;
}

/** The protocol has no key for it; the hosted service and SkyRL use the same. */
export const LORA_ALPHA = 32;
const MAX_RANK = 512;

const ATTENTION: readonly LoraTarget[] = ["q_proj", "k_proj", "v_proj", "o_proj"];
const MLP: readonly LoraTarget[] = ["gate_proj", "up_proj", "down_proj"];

/** Throws BadRequest for what the engine has no adapters for. */
export function checkAdapterShape(shape: AdapterShape, trainUnembed: boolean): void {
  if (shape.rank > MAX_RANK)
    throw new BadRequest(
      `lora_config.rank is ${shape.rank}; it must be 1 to ${MAX_RANK}, or 0 for full fine-tuning of all weights`,
    );
  if (shape.trainAttn || shape.trainMlp) return;
  const unembed = trainUnembed ? "; there are no adapters on the output matrix (train_unembed)" : "";
  throw new BadRequest(
    `lora_config: train_attn and train_mlp are both false, so nothing would be trained${unembed}. Set one of them to true`,
  );
}

export function adapterOptions({ rank, trainAttn, trainMlp }: AdapterShape, seed: number): LoraOptions {
  const targets = [...(trainAttn ? ATTENTION : []), ...(trainMlp ? MLP : [])];
  return { rank, alpha: LORA_ALPHA, targets, seed };
}

/** For messages. */
export function describeShape(shape: AdapterShape | null): string {
  if (shape === null) return "all weights (full fine-tuning)";
  const parts = [...(shape.trainAttn ? ["attention"] : []), ...(shape.trainMlp ? ["MLP"] : [])];
  return `LoRA adapters of rank ${shape.rank} on ${parts.join(" and ")}`;
}

/** The keys of the protocol's answers about a model or saved weights. */
export function loraFacts(shape: AdapterShape | null) {
  if (shape === null) return { is_lora: false, lora_rank: null };
  const { rank, trainAttn, trainMlp } = shape;
  return { is_lora: true, lora_rank: rank, train_attn: trainAttn, train_mlp: trainMlp, train_unembed: false };
}

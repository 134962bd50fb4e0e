import { totalmem } from "node:os";
import { layerPrefix } from "../model/index.js";
import type { LoraConfig, ModelConfig } from "../weights/index.js";
import { adapterLayout, countParameters, mayKeepHalves, parameterLayout } from "../weights/index.js";
import { CHUNK_ELEMENTS } from "./head.js";
import { defaultMicroBatchTokens } from "./micro-batches.js";
import { planLaneCount, sharedThreads } from "./sessions.js";
import { activationNumbers, temporaryNumbers } from "./trunk-plan.js";

/** Share of the machine's memory that training may plan with; keys and values of generation come on top. */
const MACHINE_SHARE = 0.7;
/** Node.js, ONNX Runtime and compiled code. */
const PROCESS_BYTES = 80 * 2 ** 20;
/** [rows, vocabulary] tensors of a chunk of the head at a time: of a frozen head and of one that is trained. */
const FROZEN_HEAD_TENSORS = 3;
const TRAINED_HEAD_TENSORS = 5;

/** Bytes that this process may use: the machine's, or what its control group allows. */
export function machineMemoryBytes(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  const machine = totalmem();
  return constrained > 0 && constrained < machine ? constrained : machine;
}

/** Bytes that training may plan with unless the caller says otherwise. */
export function defaultMemoryBytes(): number {
  return MACHINE_SHARE * machineMemoryBytes();
}

export interface MemoryDemand {
  readonly config: ModelConfig;
  readonly lora?: LoraConfig | undefined;
  /** Tokens of the longest sequence. */
  readonly longest: number;
  /** Tokens of a micro-batch, as far as the longest sequence allows. Default: what the trainer takes by itself. */
  readonly microBatchTokens?: number | undefined;
  readonly threads?: number | undefined;
  /** Sequences of that length in a call; default: enough for every lane. */
  readonly sequences?: number | undefined;
  /** A frozen copy of the starting weights is evaluated as well; with adapters it shares the weights. */
  readonly reference?: boolean | undefined;
  /** The matrices beside adapters, the head excepted, are kept in 16 bits. */
  readonly keepHalves?: boolean | undefined;
}

/** Bytes of a training step at its peak, by what they are for. Generation is apart: its buffers come on top. */
export interface MemoryEstimate {
  readonly process: number;
  /** The model's, and those of the frozen reference. */
  readonly weights: number;
  readonly gradients: number;
  /** AdamW's moments. */
  readonly optimizer: number;
  /** Intermediate values of a layer and of the head, hidden states between layers. */
  readonly working: number;
  /** Activations of all layers, if none is computed again. */
  readonly activations: number;
  /** Of these, what must be there if every layer is computed again. */
  readonly leastActivations: number;
  /** Micro-batches at a time, of which the two above are the sum, … */
  readonly activeLanes: number;
  /** … and for how many the trainer divides its memory. */
  readonly lanes: number;
}

/** Estimates from shapes alone; nothing is loaded. */
export function estimateTrainingMemory(demand: MemoryDemand): MemoryEstimate {
  const { config, lora, longest, reference } = demand;
  const layout = parameterLayout(config);
  const parameters = countParameters(layout);
  const halves =
    lora && demand.keepHalves ? countParameters([layout.flat().filter((each) => mayKeepHalves(config, each))]) : 0;
  const trained = lora ? countParameters(adapterLayout(config, lora)) : parameters;
  const lanes = planLaneCount(sharedThreads(demand.threads), 4 * trained);
  const tokens = Math.max(longest, demand.microBatchTokens ?? defaultMicroBatchTokens(config, lanes));
  const activeLanes = Math.max(1, Math.min(lanes, demand.sequences ?? lanes));
  const layer = 4 * tokens * activationNumbers(config, longest);
  const boundaries = 4 * tokens * config.hiddenSize * (config.layerCount + 4);
  const headRows = Math.min(tokens, Math.max(1, Math.floor(CHUNK_ELEMENTS / config.vocabularySize)));
  const headTensors = lora ? FROZEN_HEAD_TENSORS : TRAINED_HEAD_TENSORS;
  const head = 4 * (headTensors * headRows * config.vocabularySize + 2 * tokens * config.hiddenSize);
  return {
    process: PROCESS_BYTES,
    weights: 4 * parameters * (reference && !lora ? 2 : 1) - 2 * halves,
    gradients: 4 * trained * lanes,
    optimizer: 8 * trained,
    working:
      activeLanes *
      (boundaries + Math.max(head, 4 * tokens * temporaryNumbers(config, longest) + widenedBytes(config, halves))),
    activations: activeLanes * layer * config.layerCount,
    leastActivations: activeLanes * layer,
    activeLanes,
    lanes,
  };
}

/** The matrices of a layer as float32, which exist while it runs if they are kept in 16 bits. */
function widenedBytes(config: ModelConfig, halves: number): number {
  if (halves === 0) return 0;
  const prefix = layerPrefix(0);
  return (
    4 *
    countParameters([
      parameterLayout(config)
        .flat()
        .filter(({ name }) => name.startsWith(prefix)),
    ])
  );
}

/** Everything but the activations. */
export function fixedBytes({ process: program, weights, gradients, optimizer, working }: MemoryEstimate): number {
  return program + weights + gradients + optimizer + working;
}

/** What a step takes in all, within a budget: activations fill what is left, but some are needed. */
export function peakBytes(estimate: MemoryEstimate, budget: number): number {
  const { activeLanes, lanes, working } = estimate;
  const fixed = fixedBytes(estimate);
  const idle = (working * (lanes - activeLanes)) / activeLanes;
  const room = ((budget - fixed - idle) * activeLanes) / lanes;
  return fixed + Math.min(estimate.activations, Math.max(estimate.leastActivations, room));
}

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type ParameterStore, SafetensorsFile, type TensorToWrite, writeSafetensors } from "../weights/index.js";
import type { AdamWState } from "./adamw.js";

const FILE_NAME = "training-state.safetensors";

/**
 * Writes weights, moments and step count in float32 as one file, `training-state.safetensors`, so that it is complete
 * or absent. Gradients are not part of it: save between optimizer steps.
 */
export async function saveTrainingState(directory: string, store: ParameterStore, state: AdamWState): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeSafetensors(join(directory, FILE_NAME), tensors(store, state, stepTensor(state.step)), {
    metadata: { format: "critique-grpo training state 1" },
  });
}

/** Reads what `saveTrainingState` wrote for a model of the same shape; nothing changes if a tensor is missing. */
export async function loadTrainingState(directory: string, store: ParameterStore, state: AdamWState): Promise<void> {
  const file = await SafetensorsFile.open(join(directory, FILE_NAME));
  try {
    const step = stepTensor(0);
    const expected = tensors(store, state, step);
    for (const { name, shape } of expected) {
      const found = file.header.tensors.get(name);
      if (found?.dtype !== "F32" || found.shape.join() !== shape.join())
        throw new Error(
          `${file.path}: ${name} should be F32 [${shape.join(", ")}] but is ${found ? `${found.dtype} [${found.shape.join(", ")}]` : "missing"}; the state belongs to another model`,
        );
    }
    for (const { name, shape, data } of expected) await file.read(name, shape, data);
    state.step = new Uint32Array(step.buffer, step.byteOffset, 1)[0]!;
  } finally {
    await file.close();
  }
  store.gradients.fill(0);
}

type StateTensor = TensorToWrite & { readonly data: Float32Array };

/** The step count as the bits of a float, exact for any count. */
function stepTensor(step: number): Float32Array {
  return new Float32Array(Uint32Array.of(step).buffer);
}

function tensors(store: ParameterStore, state: AdamWState, step: Float32Array): StateTensor[] {
  const all: StateTensor[] = [{ name: "optimizer.step", shape: [1], data: step }];
  for (const { name, shape, offset, data } of store.parameters.values()) {
    const end = offset + data.length;
    all.push({ name: `weight.${name}`, shape, data });
    all.push({ name: `firstMoment.${name}`, shape, data: state.firstMoment.subarray(offset, end) });
    all.push({ name: `secondMoment.${name}`, shape, data: state.secondMoment.subarray(offset, end) });
  }
  return all;
}

export { writeFileAtomically } from "./atomic-file.js";
export {
  type Checkpoint,
  type LoadedModel,
  loadCheckpoint,
  type OpenedModel,
  readCheckpoint,
  saveCheckpoint,
} from "./checkpoint.js";
export { type Architecture, type ModelConfig, parseModelConfig } from "./config.js";
export type { FloatType } from "./half.js";
export { initializeParameters } from "./initialize.js";
export { readJson } from "./json-file.js";
export {
  adapterLayout,
  emptyAdapter,
  freshAdapter,
  isNeutral,
  type LoraAdapter,
  type LoraConfig,
  type LoraTarget,
  loraConfig,
  loraNames,
  loraScale,
  loraTargets,
} from "./lora.js";
export {
  countParameters,
  floatsOf,
  mayKeepHalves,
  type Parameter,
  type ParameterKind,
  type ParameterSpecification,
  ParameterStore,
  parameterLayout,
  readFloats,
  tensorOf,
} from "./parameters.js";
export {
  type AdapterDescription,
  isAdapterDirectory,
  loadAdapter,
  readAdapterDescription,
  saveAdapter,
} from "./peft.js";
export { SafetensorsFile, type TensorToWrite, writeSafetensors } from "./safetensors.js";

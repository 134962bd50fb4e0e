export { writeFileAtomically } from "./atomic-file.js";
export { type Checkpoint, type LoadedModel, loadCheckpoint, readCheckpoint, saveCheckpoint } from "./checkpoint.js";
export { type Architecture, type ModelConfig, parseModelConfig } from "./config.js";
export type { FloatType } from "./half.js";
export { initializeParameters } from "./initialize.js";
export {
  type Parameter,
  type ParameterKind,
  type ParameterSpecification,
  ParameterStore,
  parameterLayout,
} from "./parameters.js";
export { SafetensorsFile, type TensorToWrite, writeSafetensors } from "./safetensors.js";

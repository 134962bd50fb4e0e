export { type Architecture, type ModelConfig, parseModelConfig } from "./config.js";
export { initializeParameters } from "./initialize.js";
export {
  type Parameter,
  type ParameterKind,
  type ParameterSpecification,
  ParameterStore,
  parameterLayout,
} from "./parameters.js";

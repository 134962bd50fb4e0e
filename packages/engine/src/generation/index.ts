export { Generator, type GeneratorOptions } from "./generator.js";
export { estimateGenerationMemory, type GenerationDemand, type GenerationEstimate } from "./memory.js";
export { RandomStream } from "./random.js";

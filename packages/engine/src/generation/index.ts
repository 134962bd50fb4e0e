export { Generator, type GeneratorOptions } from "./generator.js";
export { RandomStream } from "./random.js";

export { AdamW, type AdamWState, createAdamWState } from "./adamw.js";
export {
  defaultMemoryBytes,
  estimateTrainingMemory,
  type MemoryDemand,
  type MemoryEstimate,
  machineMemoryBytes,
  peakBytes,
} from "./memory.js";
export { loadTrainingState, saveTrainingState } from "./state.js";
export { Trainer, type TrainerOptions } from "./trainer.js";

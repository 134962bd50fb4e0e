export { AdamW, createAdamWState } from "./adamw.js";
export { loadTrainingState, saveTrainingState } from "./state.js";
export { DEFAULT_MICRO_BATCH_TOKENS, Trainer } from "./trainer.js";

export { AdamW, type AdamWState, createAdamWState } from "./adamw.js";
export { loadTrainingState, saveTrainingState } from "./state.js";
export { Trainer, type TrainerOptions } from "./trainer.js";

/**
 * The one schema of a run: it gives types, defaults, validation, `--set`, YAML and the reference in docs/configuration.md.
 * Every key is read somewhere (tested); unknown keys are refused with the nearest name.
 */
import { z } from "zod";
import { critiqueSchema } from "./critique-schema.js";
import { engineSchema } from "./engine-schema.js";
import { path } from "./path-kinds.js";

export const columnsSchema = z.strictObject({
  prompt: z
    .string()
    .optional()
    .describe("Messages ({role, content} list) or text; default: the first of prompt, question, problem, messages"),
  answer: z
    .string()
    .optional()
    .describe(
      "Gold answer; default: the first of reward_model.ground_truth, gold, ground_truth, answer, expected_answer",
    ),
  solution: z.string().optional().describe("Reference solution, text or messages; default: target, else solution"),
  id: z.string().optional().describe("Unique name of the row; default: id, else <file>#<row>"),
  dataSource: z.string().optional().describe("For metrics by source; default: data_source, else the file's name"),
});

export const dataSchema = z.strictObject({
  files: z
    .union([path("file", "JSONL or parquet file"), z.array(path("file", "JSONL or parquet file")).min(1)])
    .describe("One file or a list: JSONL or (verl) parquet"),
  module: path("module", "TypeScript module")
    .optional()
    .describe("Module whose export `mapRow` (or default export) turns a row into a question; replaces `columns`"),
  columns: columnsSchema.prefault({}).describe("Where things stand in a row; a dot reaches into nested columns"),
  answerAfter: z
    .string()
    .min(1)
    .optional()
    .describe(
      'The gold answer is what follows the last occurrence of this in the answer column (GSM8K: "####"); what precedes becomes the reference solution',
    ),
  system: z.string().optional().describe("System message put before questions that have none"),
  promptTemplate: z.string().optional().describe("Text around the last user message; {question} is replaced by it"),
  format: z
    .enum(["chat", "plain"])
    .default("chat")
    .describe("Render through the chat template, or encode the text as it is"),
  limit: z.int().min(1).optional().describe("Use only the first rows"),
});

export const samplingSchema = z.strictObject({
  temperature: z.number().min(0).default(1).describe("Logits are divided by it; must be above 0 in training"),
  topK: z.int().min(0).default(0).describe("Keep the k likeliest tokens; 0 = all"),
  topP: z.number().gt(0).max(1).default(1).describe("Keep the smallest set of tokens with this probability; 1 = all"),
  maxTokens: z
    .int()
    .min(1)
    .default(512)
    .describe("Longest response, the stop token included; also the constant of the constant-length aggregation"),
});

export const rewardSchema = z.strictObject({
  functions: z
    .array(
      z.strictObject({
        name: z
          .string()
          .min(1)
          .describe("exact-match, format, length, math, multiple-choice, or a name of your own with `module`"),
        module: path("module", "TypeScript module")
          .optional()
          .describe("Module whose default export (or export called `name`) is a reward function"),
        weight: z.number().default(1).describe("Weight in the sum"),
        options: z.record(z.string(), z.unknown()).default({}).describe("Passed to the function"),
      }),
    )
    .min(1)
    .describe("Rewards that are added up with their weights"),
  correctAt: z.number().default(0.5).describe("A response counts as right when its reward is at least this"),
  unverifiableGold: z
    .enum(["skip", "error"])
    .default("skip")
    .describe(
      "What to do with questions whose gold answer a built-in reward (math, multiple-choice) cannot judge: list them and leave them out, or refuse to start",
    ),
});

export const refinementSchema = z.strictObject({
  count: z.int().min(0).default(0).describe("Refinements selected into each training group (k); 0 = none are sampled"),
  template: z
    .string()
    .optional()
    .describe("Refinement prompt; {question}, {response}, {critique} are replaced. Default: the paper's"),
  selection: z
    .enum(["best", "first", "random"])
    .default("best")
    .describe(
      "Which refinements are kept: `best`: right ones in order, then the best scored of the rest; `first`, `random`: those of the first, or of seeded, initial responses, whatever their reward",
    ),
  stopWhenFound: z
    .boolean()
    .default(true)
    .describe(
      "Refine responses one round after another and stop once the selection is settled; selects the same as refining all",
    ),
  roundGrowth: z
    .int()
    .min(1)
    .default(2)
    .describe(
      "With `stopWhenFound`: the first round refines one response of each question, every further one this many times as many as the one before (of the questions that still need one). 1 = one at a time: the fewest tokens and critiques; 2: fewer and fuller rounds, which are quicker, for some refinements more than needed. The selection is the same",
    ),
  onlyCorrect: z
    .boolean()
    .default(false)
    .describe(
      "Train on right refinements only, of those that `selection` would keep: a guard against collapse; a group may then have fewer than `count`",
    ),
  maxTokens: z.int().min(1).optional().describe("Longest refinement; default: sampling.maxTokens"),
});

export const groupSchema = z.strictObject({
  initial: z
    .enum(["all", "correct", "none"])
    .default("all")
    .describe("Initial responses that are trained on; `correct`: the right ones alone (supervised)"),
  expert: z
    .boolean()
    .default(false)
    .describe("Add the reference solution of each question (data.columns.solution), off-policy as a refinement is"),
  critiques: z
    .boolean()
    .default(false)
    .describe(
      "Add each critique that was written as the answer to `critiqueTemplate` (supervised); without refinements every initial response gets one",
    ),
  critiqueTemplate: z
    .string()
    .optional()
    .describe(
      "What a critique is the answer to; {question}, {response} are replaced. Default: after Critique Fine-Tuning",
    ),
});

export const shapingSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("none") }).describe("f = p"),
  z
    .strictObject({
      type: z.literal("ratio"),
      gamma: z.number().gt(0).default(0.1).describe("Probability with the largest gradient"),
    })
    .describe("f = p / (p + gamma): the paper"),
  z.strictObject({ type: z.literal("log") }).describe("f = log p"),
  z
    .strictObject({ type: z.literal("linear-log"), weight: z.number().min(0).default(0.1).describe("Weight of log p") })
    .describe("f = p + weight · log p"),
  z.strictObject({ type: z.literal("sqrt") }).describe("f = √p"),
  z
    .strictObject({ type: z.literal("power"), exponent: z.number().gt(0).default(0.5).describe("Exponent of p") })
    .describe("f = p^exponent"),
]);

export const offPolicySchema = z.strictObject({
  maxGradientShare: z
    .number()
    .gt(0)
    .lt(1)
    .nullable()
    .default(null)
    .describe(
      "Cap on the share of off-policy tokens in Σ |∂L/∂log π| of a mini-batch; measured by one more forward pass. null = none",
    ),
  importanceCap: z
    .number()
    .gt(0)
    .nullable()
    .default(null)
    .describe(
      "Each token of a refinement counts min(π(token | question) / its sampling probability after the refinement prompt, this); null = 1",
    ),
  annealing: z
    .strictObject({
      finalWeight: z.number().min(0).max(1).default(0).describe("Weight at the end; it starts at 1"),
      steps: z.int().min(1).describe("Training steps from the start until the weight is `finalWeight`"),
    })
    .nullable()
    .default(null)
    .describe("The weight of off-policy sequences falls linearly over the run; null = stays 1"),
});

export const algorithmSchema = z.strictObject({
  objective: z
    .enum(["policy-gradient", "supervised"])
    .default("policy-gradient")
    .describe(
      "`supervised`: cross-entropy on the members of the group, which advantage, clip and shaping do not concern",
    ),
  initialResponses: z
    .int()
    .min(0)
    .default(8)
    .describe("Responses sampled for each question; 0 only where nothing but reference solutions is trained on"),
  advantage: z
    .enum(["mean", "mean-std"])
    .default("mean")
    .describe("Subtract the group's mean; `mean-std` also divides by its standard deviation + 1e-6"),
  clip: z
    .strictObject({
      low: z.number().gt(0).lt(1).default(0.2).describe("The ratio is clipped below at 1 − low"),
      high: z.number().gt(0).default(0.2).describe("The ratio is clipped above at 1 + high"),
      dual: z.number().gt(1).optional().describe("Dual clip: lower bound of the objective for negative advantages"),
    })
    .nullable()
    .default(null)
    .describe("PPO clipping of on-policy tokens; null = plain ratio"),
  samplerCorrection: z
    .strictObject({
      cap: z.number().gt(0).default(2).describe("Largest weight of a token"),
    })
    .nullable()
    .default(null)
    .describe(
      "Truncated importance sampling, where sampler and trainer compute different probabilities (engine.rolloutPrecision int8, another sampler on a server): each token of an initial response counts min(π of the trainer / π of the sampler, cap), and the ratio is to the trainer's π before the step. null = off: the ratio is to the sampler's π",
    ),
  shaping: shapingSchema
    .default({ type: "ratio", gamma: 0.1 })
    .describe("f(p) of the tokens of refinements and reference solutions"),
  offPolicy: offPolicySchema
    .prefault({})
    .describe("Guards against collapse by refinements and reference solutions; all off by default"),
  aggregation: z
    .enum(["constant-length", "token-mean", "seq-mean-token-sum", "seq-mean-token-mean"])
    .default("constant-length")
    .describe("How token losses become one number; constant-length: Σ tokens / (sequences · sampling.maxTokens)"),
  entropyCoefficient: z.number().min(0).default(0.001).describe("Weight of the entropy bonus (mean over tokens)"),
  klCoefficient: z.number().min(0).default(0).describe("Weight of the KL penalty against the frozen starting weights"),
});

export const optimizerSchema = z.strictObject({
  learningRate: z.number().gt(0).default(1e-6).describe("Peak learning rate of AdamW"),
  schedule: z
    .enum(["constant", "linear", "cosine"])
    .default("constant")
    .describe("After the warm-up; linear and cosine end at `finalFraction`"),
  warmupSteps: z.int().min(0).default(0).describe("Optimizer steps of linear warm-up"),
  finalFraction: z.number().min(0).max(1).default(0).describe("Learning rate at the end over the peak"),
  beta1: z.number().min(0).lt(1).default(0.9).describe("Decay of the first moment"),
  beta2: z.number().min(0).lt(1).default(0.999).describe("Decay of the second moment"),
  epsilon: z.number().gt(0).default(1e-8).describe("Added to the root of the second moment"),
  weightDecay: z.number().min(0).default(0.01).describe("Decoupled; matrices only, not norms and biases"),
  maxGradNorm: z.number().min(0).default(1).describe("Global-norm clipping; 0 = off"),
});

export const evaluationSchema = z.strictObject({
  files: dataSchema.shape.files.optional().describe("Held-out questions, judged by the rewards of the run"),
  benchmarks: z
    .array(
      z.union([
        z.string().min(1),
        z.strictObject({
          name: z.string().min(1).describe("Its name"),
          file: path("file", "JSONL or parquet file").optional().describe("Its questions; default: looked for"),
        }),
      ]),
    )
    .default([])
    .describe(
      "Benchmarks by name (math500, minerva, olympiad, amc23, aime24, aime25, gpqa, gsm8k), judged by the benchmark's own verifier; asked with data.promptTemplate and data.system where they are set",
    ),
  benchmarkDirectory: path("output", "Directory")
    .optional()
    .describe(
      "Where benchmark files are looked for, and kept that come from the Hugging Face hub; default: ~/.cache/critique-grpo/benchmarks",
    ),
  benchmarkSamples: z
    .int()
    .min(1)
    .optional()
    .describe("Responses a question of a benchmark; default: 8 for AIME, 4 for AMC, 1 for the others"),
  every: z
    .int()
    .min(0)
    .default(0)
    .describe("Steps between evaluations; 0 = only before the first and after the last step"),
  samples: z
    .int()
    .min(1)
    .default(1)
    .describe("Responses a question of `files` at `temperature`, for pass@1 and pass@k"),
  temperature: z.number().min(0).default(0.6).describe("0 = greedy; then `samples` must be 1"),
  topP: z.number().gt(0).max(1).default(1).describe("Keep the smallest set of tokens with this probability; 1 = all"),
  maxTokens: z.int().min(1).optional().describe("Longest response; default: sampling.maxTokens"),
  greedy: z.boolean().default(false).describe("Draw one greedy response a question as well"),
  limit: z.int().min(1).optional().describe("Use only the first questions of `files` and of each benchmark"),
});

export const checkpointSchema = z.strictObject({
  every: z.int().min(0).default(50).describe("Steps between checkpoints; 0 = only at the end and on Ctrl-C"),
  keep: z.int().min(1).default(2).describe("Newest checkpoints kept"),
});

export const loggingSchema = z.strictObject({
  tensorboard: z
    .boolean()
    .default(false)
    .describe("Write TensorBoard event files to tensorboard/ in the run directory while the run goes"),
});

export const tokenizerSchema = z.strictObject({
  path: path("directory", "Directory with tokenizer.json")
    .optional()
    .describe("Directory with tokenizer.json; default: the model directory"),
});

export const runSchema = z.strictObject({
  preset: z.string().optional().describe("Named set of defaults: see `critique-grpo presets`"),
  seed: z.int().min(0).default(0).describe("Data order and sampling"),
  runDirectory: path("output", "Directory")
    .optional()
    .describe("Where the run is written; default: runs/<name of the YAML>-<time> in the current directory"),
  engine: engineSchema.describe("What samples and trains"),
  tokenizer: tokenizerSchema.prefault({}).describe("Text to tokens and back"),
  data: dataSchema.describe("Training questions"),
  steps: z.int().min(1).describe("Training steps"),
  questionsPerStep: z.int().min(1).default(128).describe("Questions a training step; divisible by `miniBatches`"),
  miniBatches: z.int().min(1).default(2).describe("Optimizer steps a training step; questions are split evenly"),
  sampling: samplingSchema.prefault({}).describe("How responses are drawn"),
  reward: rewardSchema.describe("Numerical feedback"),
  critique: critiqueSchema.prefault({ type: "none" }).describe("Feedback in words and who writes it; default: nobody"),
  refinement: refinementSchema.prefault({}).describe("Second attempts, guided by critiques"),
  group: groupSchema.prefault({}).describe("What is trained on, beside `refinement.count` refinements a question"),
  algorithm: algorithmSchema.prefault({}).describe("Advantages and the loss"),
  optimizer: optimizerSchema.prefault({}).describe("AdamW"),
  evaluation: evaluationSchema.prefault({}).describe("Held-out questions"),
  checkpoint: checkpointSchema.prefault({}).describe("What survives a crash"),
  logging: loggingSchema.prefault({}).describe("Where metrics go beside metrics.jsonl"),
});

/** A run with every default filled in. */
export type RunConfig = z.output<typeof runSchema>;
/** What a user may write. */
export type RunConfigInput = z.input<typeof runSchema>;

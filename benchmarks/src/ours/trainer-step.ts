/**
 * Whole steps of the product's training loop: MODEL_DIRECTORY PROMPTS COMPLETIONS PROMPT_LENGTH NEW_TOKENS PRESET.
 * Sampling, reward, critique, refinement, selection, update: all that `train` does but writing files. No response is
 * right, so that Critique-GRPO refines every one of them: the most that a step can cost.
 */
import { join } from "node:path";
import { openPolicy, type Question, resolveRunConfig, type TextCodec, train } from "critique-grpo";
import { commandLine, roundsAskedFor, sendReady, sendRound, stopwatch, threadOptions, versions } from "./serve.js";
import { grpoPrompt } from "./workload.js";

const { directory, numbers, words } = commandLine();
const [prompts = 0, completions = 0, promptLength = 0, newTokens = 0] = numbers;
const preset = words[0] ?? "";

const anyFile = join(directory, "config.json");

const config = resolveRunConfig({
  preset,
  engine: { type: "embedded", model: directory, ...threadOptions() },
  // Questions, rewards and the evaluation, where the loop is held, are given below: these only satisfy the schema.
  data: { files: anyFile, format: "plain" },
  evaluation: { files: anyFile, every: 1 },
  reward: { functions: [{ name: "exact-match" }], correctAt: 2 },
  steps: 1_000_000,
  questionsPerStep: prompts,
  miniBatches: 1,
  sampling: { maxTokens: newTokens },
  optimizer: { learningRate: 1e-5 },
  checkpoint: { every: 0 },
});
const { initialResponses } = config.algorithm;
if (initialResponses + config.refinement.count !== completions) {
  throw new Error(`Preset ${preset} has other groups than ${completions} responses.`);
}
const policy = await openPolicy(config.engine);
const vocabularySize = policy.info.vocabularySize;

/** One word a token: "t17" is token 17, any other word one that its characters choose. */
const codec: TextCodec = {
  encode: (text) => text.split(/\s+/).filter(Boolean).map(tokenOf),
  decode: (tokens) => tokens.map((token) => `t${token}`).join(" "),
  encodeChat: (messages) => messages.flatMap(({ content }) => codec.encode(content)),
  stopTokens: [],
};

function tokenOf(word: string): number {
  const id = /^t(\d+)$/.exec(word)?.[1];
  if (id !== undefined) return Number(id);
  return 2 + ([...word].reduce((sum, character) => sum * 31 + character.charCodeAt(0), 7) % (vocabularySize - 2));
}

const questions = Array.from({ length: 4 * prompts }, (_, row): Question => {
  const text = codec.decode(grpoPrompt(row, promptLength, vocabularySize));
  return { id: String(row), dataSource: "benchmark", text, prompt: text, gold: String(row), metadata: {} };
});

const rounds = roundsAskedFor();
const end = new AbortController();
let read: ReturnType<typeof stopwatch> | undefined;

/** Called before the first step and after every one: holds the loop until a round is asked for. */
async function holdStep(): Promise<object> {
  if (read !== undefined) sendRound({ ...read(), tokens: prompts * completions * newTokens });
  if ((await rounds.next()).done === true) end.abort();
  read = stopwatch();
  return {};
}

sendReady({ versions: versions(), settings: `preset ${preset}` });
await train({
  config,
  policy,
  codec,
  questions,
  // Share of even token ids: cheap, and never equal within a group.
  rewards: [{ name: "even", score: ({ tokens }) => tokens.filter((id) => id % 2 === 0).length / tokens.length }],
  evaluate: holdStep,
  signal: end.signal,
});
await policy.close();

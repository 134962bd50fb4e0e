/** Sampling of the embedded engine: MODEL_DIRECTORY BATCH PROMPT_LENGTH NEW_TOKENS (see peers/generation.py). */
import { loadModel, type SampleRequest } from "@critique-grpo/engine";
import { commandLine, serve, threadOptions, timed, versions } from "./serve.js";
import { grpoPrompt } from "./workload.js";

const { directory, numbers } = commandLine();
const [batch = 0, promptLength = 0, newTokens = 0] = numbers;
const model = await loadModel({ directory }, { contextLength: promptLength + newTokens, ...threadOptions() });
let round = 0;

await serve({ versions: versions(), settings: "defaults, with log-probabilities" }, async () => {
  round++;
  // A different prompt in every row, as on the other side: nothing is gained by sharing a prefill.
  const requests = Array.from(
    { length: batch },
    (_, row): SampleRequest => ({
      prompt: grpoPrompt(row, promptLength, model.info.vocabularySize),
      count: 1,
      maxTokens: newTokens,
      temperature: 1,
      stopTokens: [],
      seed: round * batch + row,
    }),
  );
  let tokens = 0;
  const times = await timed(async () => {
    for await (const sequence of model.sample(requests)) tokens += sequence.tokens.length;
  });
  if (tokens !== batch * newTokens) throw new Error(`Sampled ${tokens} tokens instead of ${batch * newTokens}.`);
  return { ...times, tokens };
});
await model.close();

// The engine's half of live.py: one job (a JSON file) in, result.json and an adapter directory out.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";

const job = JSON.parse(await readFile(process.argv[2], "utf8"));
const numbers = (parameters, field) =>
  Object.fromEntries(
    [...parameters].filter(([name]) => name.includes("lora_")).map(([name, tensor]) => [name, [...tensor[field]]]),
  );
const loss = (_, { logprobs }) => ({
  loss: -logprobs.reduce((sum, l) => sum + l, 0),
  logprobGradient: new Float32Array(logprobs.length).fill(-1),
});

const result = { modes: {} };
for (const [mode, options] of Object.entries(job.modes)) {
  const model = await loadModel({ directory: job.adapter }, options);
  const logprobs = (await model.logprobs(job.sequences)).map((x) => [...x.logprobs]);
  await model.forwardBackward(job.sequences, loss);
  result.modes[mode] = { logprobs, gradients: numbers(model.parameters(), "gradient") };
  await model.optimizerStep({
    learningRate: 1e-2,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradNorm: 0,
  });
  await model.exportAdapter(join(job.output, "adapter"));
  await model.exportModel(join(job.output, "merged"));
  result.trained = (await model.logprobs(job.sequences)).map((x) => [...x.logprobs]);
  await model.close();
}
await writeFile(join(job.output, "result.json"), JSON.stringify(result));

// The engine's half of live.py: one job (a JSON file) in, result.json and raw float32 files out.
//
//     node conformance/transformers/engine_side.mjs JOB.json
//
// Uses the built package only (npm run build), the way a stranger would.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";

const job = JSON.parse(await readFile(process.argv[2], "utf8"));
const result = { evaluations: [], optimizer: undefined };

/** Loss with the constants of live.py; its gradient with respect to log-probability and entropy is those constants. */
function linearLoss(coefficients) {
  return (sequence, current) => {
    const { logprob, entropy } = coefficients[sequence.index];
    let loss = 0;
    for (let t = 0; t < logprob.length; t++)
      loss += logprob[t] * current.logprobs[t] + entropy[t] * current.entropies[t];
    return { loss, logprobGradient: Float32Array.from(logprob), entropyGradient: Float32Array.from(entropy) };
  };
}

/** Writes tensors as raw little-endian float32, one file a tensor, and returns {name: shape}. */
async function dump(parameters, directory, field) {
  await mkdir(directory, { recursive: true });
  const shapes = {};
  for (const [name, parameter] of parameters) {
    const tensor = parameter[field];
    await writeFile(join(directory, name), new Uint8Array(tensor.buffer, tensor.byteOffset, tensor.byteLength));
    shapes[name] = [...parameter.shape];
  }
  return shapes;
}

async function collect(model, requests) {
  const samples = [];
  for await (const sample of model.sample(requests)) samples.push({ ...sample, logprobs: [...sample.logprobs] });
  return samples;
}

const sequences = job.sequences.map((sequence, index) => ({ ...sequence, index }));
const plain = (list) => list.map((x) => ({ logprobs: [...x.logprobs], entropies: [...x.entropies] }));

// Every evaluation starts from a fresh load, because the gradient accumulator is only cleared by an optimizer step.
for (const { temperature, microBatchTokens } of job.evaluations) {
  const model = await loadModel({ directory: job.directory });
  const options = microBatchTokens ? { temperature, microBatchTokens } : { temperature };
  const current = plain(await model.logprobs(sequences, options));
  const pass = await model.forwardBackward(sequences, linearLoss(job.coefficients), options);
  const gradientDirectory = join(job.output, `gradients-${result.evaluations.length}`);
  const shapes = await dump(model.parameters(), gradientDirectory, "gradient");
  const passCurrent = plain(pass.sequences.map((x) => x.current));
  result.evaluations.push({ temperature, current, passCurrent, loss: pass.loss, gradientDirectory, shapes });
  await model.close();
}

{
  const model = await loadModel({ directory: job.directory });
  result.info = model.info;
  // The whole distribution behind a prefix: one sequence for every token of the vocabulary.
  const vocabulary = Array.from({ length: model.info.vocabularySize }, (_, token) => token);
  const distribution = await model.logprobs(vocabulary.map((token) => ({ prompt: job.prefix, response: [token] })));
  result.distribution = distribution.map((x) => x.logprobs[0]);
  result.greedy = await collect(
    model,
    job.greedy.map((request) => ({ ...request, count: 1, temperature: 0, stopTokens: [], seed: 1 })),
  );
  // What the sampler says of its tokens against what the trainer says of them.
  result.samples = [];
  for (const temperature of job.sampleTemperatures) {
    const samples = await collect(
      model,
      job.samples.map((request) => ({ ...request, temperature })),
    );
    const trainer = await model.logprobs(
      samples.map((sample) => ({ prompt: job.samples[sample.requestIndex].prompt, response: sample.tokens })),
      { temperature },
    );
    result.samples.push({ temperature, samples, trainer: trainer.map((x) => [...x.logprobs]) });
  }
  await model.exportModel(join(job.output, "exported"));

  const { steps, ...adamW } = job.adamW;
  const losses = [];
  const gradNorms = [];
  for (let step = 0; step < steps; step++) {
    losses.push((await model.forwardBackward(sequences, linearLoss(job.coefficients))).loss);
    gradNorms.push((await model.optimizerStep(adamW)).gradNorm);
  }
  const parameterDirectory = join(job.output, "trained-parameters");
  const shapes = await dump(model.parameters(), parameterDirectory, "data");
  const trained = await model.logprobs(vocabulary.map((token) => ({ prompt: job.prefix, response: [token] })));
  await model.exportModel(join(job.output, "trained"));
  await model.exportModel(join(job.output, "trained-bfloat16"), { dtype: "bfloat16" });
  result.optimizer = { losses, gradNorms, parameterDirectory, shapes, distribution: trained.map((x) => x.logprobs[0]) };
  await model.close();
}

// A fresh model that the engine makes from the same config.json.
{
  const model = await loadModel({ config: join(job.directory, "config.json"), seed: job.seed });
  const all = sequences.map(({ prompt, response }) => ({ prompt, response }));
  result.fresh = plain(await model.logprobs(all));
  await model.exportModel(join(job.output, "fresh"));
  await model.close();
}

await writeFile(join(job.output, "result.json"), JSON.stringify(result));

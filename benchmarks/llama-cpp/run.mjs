/**
 * Continues one prompt greedily with the sizes of Qwen3-0.6B (random weights): ours beside node-llama-cpp on the same weights.
 *
 *     node benchmarks/llama-cpp/run.mjs [--rounds 5] [--tokens 32] [--kinds f32,f16,q8_0] [--model DIRECTORY]
 *
 * Every side is a process of its own and they take turns. A side's first round is not counted. In float32 both must
 * draw the same tokens.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { loadModel } from "@critique-grpo/engine";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const prompt = [11, 7919, 23, 104729, 42, 65537, 5, 99];
const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    tokens: { type: "string", default: "32" },
    kinds: { type: "string", default: "f32,f16,q8_0" },
    model: { type: "string", default: join(root, ".cache/qwen3-0.6b-shape") },
    side: { type: "string" },
  },
});
const maxTokens = Number(options.tokens);

if (options.side === undefined) await compare();
else await serve(options.side === "ours" ? await ours() : await llamaCpp(options.side));

/** One round for every line of standard input. */
async function serve(round) {
  console.log("ready");
  for await (const _ of createInterface({ input: process.stdin })) {
    const start = performance.now();
    const tokens = await round();
    const seconds = (performance.now() - start) / 1000;
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
    console.log(JSON.stringify({ seconds, peak, tokens }));
  }
  process.exit(0);
}

async function ours() {
  const model = await loadModel({ directory: options.model }, { contextLength: 512 });
  const request = { prompt: promptFor(model.info.vocabularySize), count: 1, maxTokens, temperature: 0, seed: 1 };
  return async () => {
    for await (const { tokens } of model.sample([{ ...request, stopTokens: [] }])) return tokens;
  };
}

async function llamaCpp(file) {
  const require = createRequire(pathToFileURL(join(root, ".cache/node-llama-cpp/package.json")));
  const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({ contextSize: 512, threads: availableParallelism() });
  const sequence = context.getSequence();
  return async () => {
    await sequence.clearHistory();
    const tokens = [];
    const evaluation = sequence.evaluate(promptFor(model.fileInfo.metadata.qwen3.vocab_size), {
      temperature: 0,
      yieldEogToken: true,
    });
    for await (const token of evaluation) {
      tokens.push(token);
      if (tokens.length === maxTokens) break;
    }
    return tokens;
  };
}

function promptFor(vocabularySize) {
  return prompt.map((token) => token % vocabularySize);
}

function start(side) {
  const process_ = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), "--side", side, "--tokens", options.tokens, "--model", options.model],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${side} ended`);
    return value;
  };
  return {
    ready: read(),
    async round() {
      process_.stdin.write("\n");
      return JSON.parse(await read());
    },
    end: () => process_.stdin.end(),
  };
}

async function compare() {
  execFileSync("bash", [join(here, "setup.sh")], { stdio: "inherit" });
  if (!existsSync(join(options.model, "model.safetensors"))) {
    throw new Error(`${options.model} has no model.safetensors: npm run bench:large -- lora --no-peer makes it`);
  }
  const directory = join(root, ".cache/gguf");
  mkdirSync(directory, { recursive: true });
  const sides = [{ name: "critique-grpo, float32", side: "ours", bytes: undefined }];
  for (const kind of options.kinds.split(",")) {
    const file = join(directory, `${options.model.split("/").at(-1)}-${kind}.gguf`);
    if (!existsSync(file)) {
      execFileSync(join(root, ".venv/gguf/bin/python"), [join(here, "to_gguf.py"), options.model, file, kind], {
        stdio: "inherit",
      });
    }
    sides.push({ name: `node-llama-cpp, ${kind}`, side: file, bytes: statSync(file).size });
  }
  console.log(`load average ${loadavg()[0].toFixed(2)}, ${availableParallelism()} cores`);
  const running = sides.map(({ side }) => start(side));
  for (const { ready } of running) await ready;
  const rounds = sides.map(() => []);
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const [index, side] of running.entries()) {
      const measured = await side.round();
      if (round > 0) rounds[index].push(measured);
    }
  }
  for (const { end } of running) end();
  const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
  const [first] = rounds[0];
  for (const [index, { name }] of sides.entries()) {
    const seconds = median(rounds[index].map((round) => round.seconds));
    const same = rounds[index][0].tokens.findIndex((token, i) => token !== first.tokens[i]);
    console.log(
      `${name.padEnd(24)} ${(maxTokens / seconds).toFixed(2).padStart(7)} tokens/s  peak ${(rounds[index][0].peak / 1e9).toFixed(2)} GB  ` +
        (index === 0 ? "" : same < 0 ? "same tokens" : `same tokens up to ${same} of ${maxTokens}`),
    );
  }
}

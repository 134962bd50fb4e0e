/**
 * Trains with a teacher on a third party's OpenAI-compatible server (`transformers serve`, a tiny random model on CPU):
 * critiques, tokens, ledger, cache, and a server that goes away. Prints one line a check; exits with 1 if any fails.
 *
 *   npm run conformance -- teacher
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadTextCodec, readMetrics, readRollouts } from "../../packages/critique-grpo/dist/index.js";
import { writeServedModel } from "../../packages/critique-grpo/dist/testing/serve-fixture.js";
import { root, startTransformersServe } from "./server.mjs";

const KEY = "sk-conformance-0123456789";
const CONTEXT = 2048;
const STEPS = 2;

let failures = 0;
function check(name, passed, detail = "") {
  if (!passed) failures++;
  console.log(`${passed ? "ok  " : "FAIL"} ${name}${detail === "" ? "" : `: ${detail}`}`);
}

/** Bytes in, bytes out; the positions cost no weights, so the context may be long. */
async function writeModel(directory, seed) {
  mkdirSync(directory);
  await writeServedModel(directory, seed);
  const config = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
  writeFileSync(join(directory, "config.json"), JSON.stringify({ ...config, max_position_embeddings: CONTEXT }));
  const generation = { eos_token_id: [257], do_sample: true };
  writeFileSync(join(directory, "generation_config.json"), JSON.stringify(generation));
}

function train(name, baseUrl, overrides = []) {
  const file = join(folder, "run.yaml");
  const config = {
    engine: { type: "embedded", model: join(folder, "policy"), threads: 1 },
    data: { files: "data.jsonl" },
    ...{ steps: STEPS, questionsPerStep: 2, miniBatches: 1, sampling: { maxTokens: 8 } },
    reward: { functions: [{ name: "exact-match" }] },
    critique: {
      ...{ type: "teacher", baseUrl, model: join(folder, "teacher"), apiKeyVariable: "TEACHER_KEY" },
      ...{ sampling: { maxTokens: 48 }, timeoutSeconds: 60, attempts: 2, longestWaitSeconds: 0.5, concurrency: 2 },
    },
    refinement: { count: 1, stopWhenFound: false },
    algorithm: { initialResponses: 2 },
  };
  writeFileSync(file, stringify(config));
  const cli = join(root, "packages", "critique-grpo", "dist", "cli", "main.js");
  const directory = join(folder, name);
  const argv = [cli, "train", file, "--run-directory", directory, ...overrides.flatMap((text) => ["--set", text])];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, argv, { env: { ...process.env, TEACHER_KEY: KEY } });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    child.on("close", (code) => resolve({ code, output, directory }));
  });
}

async function critiquesOf(directory) {
  const steps = await Promise.all(Array.from({ length: STEPS }, (_, i) => readRollouts(directory, i + 1)));
  return steps.flat().flatMap(({ initial }) => initial.map(({ critique }) => critique));
}

const folder = mkdtempSync(join(tmpdir(), "teacher-conformance-"));
let server;
try {
  await writeModel(join(folder, "policy"), 3);
  await writeModel(join(folder, "teacher"), 5);
  const rows = [
    { id: "a", question: "3 + 4?", answer: "7", solution: "3 + 4 = 7" },
    { id: "b", question: "5 + 8?", answer: "13", solution: "5 + 8 = 13" },
  ];
  writeFileSync(join(folder, "data.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  server = await startTransformersServe(join(folder, "teacher"));

  const first = await train("first", server.baseUrl);
  check("a run with transformers serve as its teacher", first.code === 0, first.code === 0 ? "" : first.output);
  const critiques = await critiquesOf(first.directory);
  const written = critiques.filter(({ kind }) => kind === "teacher");
  check("critiques come from it", written.length > 0, `${written.length} of ${critiques.length}`);
  check(
    "the other critiques are fallbacks that say why",
    critiques.every(({ kind, failure }) => kind === "teacher" || failure !== undefined),
    critiques.find(({ failure }) => failure !== undefined)?.failure ?? "none",
  );
  const codec = loadTextCodec(join(folder, "teacher"));
  const asked = critiques.filter(({ tokens }) => tokens !== undefined);
  const expected = ({ prompt }) => codec.encodeChat([{ role: "user", content: prompt }]).length;
  check(
    "its server counts the prompts' tokens as our tokenizer does",
    asked.length > 0 && asked.every((critique) => critique.tokens.prompt === expected(critique)),
    `${asked.map((critique) => `${critique.tokens.prompt} ${expected(critique)}`).join(", ")}`,
  );
  check(
    "no critique is longer than asked for",
    asked.every(({ tokens }) => tokens.completion <= 48),
  );
  const calls = readFileSync(join(first.directory, "critic", "calls.jsonl"), "utf8")
    .trim()
    .split("\n");
  check("every call is in the ledger", calls.length === server.requests(), `${calls.length}`);
  const metrics = await readMetrics(first.directory);
  const counted = metrics.reduce((sum, record) => sum + record["critique/calls"], 0);
  check("and in the metrics, the check at the start apart", counted === calls.length - 1, `${counted}`);

  const cache = join(first.directory, "critic", "cache");
  const before = server.requests();
  const second = await train("second", server.baseUrl, [
    `critique.cacheDirectory=${cache}`,
    "critique.checkAtStart=false",
  ]);
  const paid = server.requests() - before;
  const unanswered = new Set(critiques.filter(({ kind }) => kind !== "teacher").map(({ prompt }) => prompt)).size;
  check(
    "a second run with its answers asks only for what it had none",
    second.code === 0 && paid <= unanswered,
    `${paid} calls`,
  );
  if (unanswered === 0) {
    const weights = (directory) => readFileSync(join(directory, "model", "model.safetensors"));
    check("and ends in the same weights", weights(first.directory).equals(weights(second.directory)));
  }

  const { baseUrl } = server;
  await server.stop();
  server = undefined;
  const refused = await train("refused", baseUrl);
  check("without its server a run is refused at the start", refused.code === 2 && /ECONNREFUSED/.test(refused.output));
  const alone = await train("alone", baseUrl, ["critique.checkAtStart=false", "seed=9"]);
  const fallbacks = await critiquesOf(alone.directory);
  check(
    "a run that loses its teacher goes on with fallbacks",
    alone.code === 0 && fallbacks.every(({ kind, failure }) => kind === "simple_gt" && failure !== undefined),
    fallbacks[0]?.failure,
  );

  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const leaking = files.filter((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1").includes(KEY));
  check("the key is in no file", leaking.length === 0, `${files.length} files`);
} finally {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;

// Evaluates a "model" whose answers are known through the command as users run it: an OpenAI-compatible endpoint on
// loopback replays real model solutions of GSM8K, and spells MATH-500's gold answers in several ways, right and wrong.
// Usage: node evaluate.mjs OUT [QUESTIONS]
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";

const root = new URL("../../", import.meta.url).pathname;
const data = resolve(root, "../shared/data");
const [out, limit = "300"] = process.argv.slice(2);
const SAMPLES = 4;

/** Solutions by question. */
const replies = new Map();

const solutions = readFileSync(`${data}/gsm8k/example_model_solutions.jsonl`, "utf8").trim().split("\n");
for (const [index, line] of solutions.entries()) {
  const { question, ground_truth: _, ...models } = JSON.parse(line);
  const texts = Object.values(models).map(({ solution }) => solution);
  // Half of them as they are, half with the answer in a box, as models that are asked for one write it.
  const boxed = (text) => text.replace(/A: (.+)$/, "The final answer is \\boxed{$1}.");
  replies.set(question.trim(), index % 2 === 0 ? texts : texts.map(boxed));
}

const file = `${data}/benchmarks/critique-grpo-validation.parquet`;
const rows = (await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors })).filter(
  (row) => row.data_source === "math",
);
for (const [index, { prompt, reward_model: model }] of rows.entries()) {
  const gold = model.ground_truth;
  const other = rows[(index + 1) % rows.length].reward_model.ground_truth;
  const question = prompt.at(-1).content.split("\nPlease reason step by step")[0].trim();
  replies.set(question, [
    `We compute. Therefore the answer is \\boxed{${gold}}.`,
    `Perhaps \\boxed{${other}}`,
    `First \\boxed{${other}} looked right, but no: $\\boxed{${gold.replaceAll("\\frac", "\\dfrac").replaceAll(" ", "")}}$`,
    `The final answer is $${gold}$. I hope it is correct.`,
  ]);
}

const server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    const { messages, seed } = JSON.parse(body);
    const asked = messages.at(-1).content.split("\nPlease reason step by step")[0].trim();
    const content = replies.get(asked)?.[seed % SAMPLES];
    response.writeHead(content === undefined ? 400 : 200, { "content-type": "application/json" });
    const choices = [{ message: { content }, finish_reason: "stop" }];
    response.end(JSON.stringify(content === undefined ? { error: { message: "unknown question" } } : { choices }));
  });
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const cli = `${root}packages/critique-grpo/bin/critique-grpo.mjs`;
const argv = [
  ...["eval", `http://127.0.0.1:${server.address().port}/v1`, "--model", "replay", "--samples", String(SAMPLES)],
  ...["--benchmark", `gsm8k=${data}/gsm8k/test.jsonl,math500=${file}`, "--limit", limit, "--out", out],
];
const command = spawn(process.execPath, [cli, ...argv], { stdio: "inherit" });
process.exitCode = await new Promise((done) => command.on("exit", done));
server.close();

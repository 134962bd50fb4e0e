/**
 * What the Tinker client costs: samples in flight at once on one process, and its CPU time per 1,000 requests. The server
 * is another process, so `process.cpuUsage` counts the client alone. Each result has 512 tokens with logprobs. Rounds of
 * different concurrency are interleaved; the median and the range over the rounds are printed.
 *
 *   npm run build && node benchmarks/tinker/client-overhead.mjs [rounds] [requests]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ServiceClient } from "../../packages/tinker/dist/index.js";

const here = dirname(fileURLToPath(import.meta.url));
const rounds = Number(process.argv[2] ?? 3);
const requests = Number(process.argv[3] ?? 2_000);
const CONCURRENCIES = [50, 200, 500, 1_000];

const server = spawn(process.execPath, [join(here, "server-process.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
const [port] = await once(createInterface({ input: server.stdout }), "line");
const url = `http://127.0.0.1:${port}`;
const client = await ServiceClient.connect({ baseUrl: url, dialect: "hosted", env: {} });
const sampler = await client.createSamplingClient({ baseModel: "any" });
const prompt = Int32Array.from({ length: 256 }, (_, i) => i);

/** Keeps `concurrency` calls in flight until `count` are done. */
async function run(concurrency, count) {
  let started = 0;
  const worker = async () => {
    while (started < count) {
      started++;
      await sampler.sample({ prompt, samplingParams: { maxTokens: 512, temperature: 1 } });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
async function mostWaiting() {
  return (await (await fetch(`${url}/api/v1/most_waiting`)).json()).mostWaiting;
}

await run(200, 400);
await mostWaiting();
const results = new Map(CONCURRENCIES.map((concurrency) => [concurrency, []]));
for (let round = 0; round < rounds; round++) {
  for (const concurrency of CONCURRENCIES) {
    const count = requests;
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    await run(concurrency, count);
    const seconds = (performance.now() - startedMs) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    results.get(concurrency).push({
      perThousand: ((user + system) / 1e6 / count) * 1_000,
      rate: count / seconds,
      inFlight: await mostWaiting(),
    });
  }
}
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(
  `Node ${process.version}, ${rounds} rounds of ${requests} sampling calls (a submission and a poll each), 512 tokens with logprobs a result`,
);
console.log(
  "| calls at once | in flight at the server (min of rounds) | client CPU s per 1,000 calls (range) | calls/s |",
);
console.log("|---:|---:|---:|---:|");
for (const [concurrency, rows] of results) {
  const cpu = rows.map((row) => row.perThousand);
  const range = `${Math.min(...cpu).toFixed(2)}–${Math.max(...cpu).toFixed(2)}`;
  console.log(
    `| ${concurrency} | ${Math.min(...rows.map((row) => row.inFlight))} | ${median(cpu).toFixed(2)} (${range}) | ${median(rows.map((row) => row.rate)).toFixed(0)} |`,
  );
}
await client.close();
server.kill();

/** `npm run bench`: see options.ts for its options. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { configS, definitions, repositoryRoot } from "./definitions.js";
import { describeMachine } from "./machine.js";
import { writeGenerated } from "./markdown-file.js";
import { type BenchmarkResult, measure } from "./measure.js";
import { type Options, parseOptions, usage } from "./options.js";
import { type Report, renderMarkdown } from "./report.js";

async function main(options: Options): Promise<number> {
  const setup = spawnSync("bash", [join(repositoryRoot, "conformance", "setup.sh")], { stdio: "inherit" });
  if (setup.status !== 0) throw new Error("conformance/setup.sh failed: the Python peers cannot run.");

  const machine = describeMachine();
  const benchmarks: BenchmarkResult[] = [];
  const failures: Report["failures"][number][] = [];
  const modelDirectory = await mkdtemp(join(tmpdir(), "benchmark-model-"));
  try {
    // One set of weights for both sides, through the format that both read.
    const model = await loadModel({ config: configS, seed: 1 });
    await model.exportModel(modelDirectory);
    await model.close();
    for (const definition of definitions.filter(({ name }) => options.only.includes(name))) {
      const onProgress = (text: string) => console.error(`${definition.name}: ${text}`);
      try {
        benchmarks.push(await measure(definition, { ...options, modelDirectory, onProgress }));
      } catch (error) {
        failures.push({ name: definition.name, message: (error as Error).message });
        console.error(`${definition.name} failed: ${(error as Error).message}`);
      }
    }
  } finally {
    await rm(modelDirectory, { recursive: true, force: true });
  }

  const report: Report = {
    schemaVersion: 1,
    createdAt: new Date().toISOString(),
    command: ["npm run bench --", ...process.argv.slice(2)].join(" "),
    machine,
    rounds: options.rounds,
    threads: options.threads ?? null,
    benchmarks,
    failures,
  };
  const markdown = renderMarkdown(report);
  console.log(markdown);
  if (options.markdown !== undefined) await writeGenerated(options.markdown, markdown);
  if (options.json !== undefined) {
    await writeFile(`${options.json}.tmp`, `${JSON.stringify(report, null, 2)}\n`);
    await rename(`${options.json}.tmp`, options.json);
  }
  return failures.length > 0 ? 1 : 0;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(usage);
  else process.exitCode = await main(options);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}

/** `npm run bench`: see options.ts for its options. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@critique-grpo/engine";
import { repositoryRoot } from "./commands.js";
import { describeMachine } from "./machine.js";
import { writeGenerated } from "./markdown-file.js";
import { type BenchmarkResult, measure } from "./measure.js";
import { type ModelName, models } from "./models.js";
import { type Options, parseOptions, usage } from "./options.js";
import { type Report, renderMarkdown } from "./report.js";

async function main(options: Options): Promise<number> {
  const setup = spawnSync("bash", [join(repositoryRoot, "conformance", "setup.sh")], { stdio: "inherit" });
  if (setup.status !== 0) throw new Error("conformance/setup.sh failed: the Python peers cannot run.");

  const machine = describeMachine();
  const benchmarks: BenchmarkResult[] = [];
  const failures: Report["failures"][number][] = [];
  const directory = await mkdtemp(join(tmpdir(), "benchmark-models-"));
  try {
    const modelDirectories = await exportModels(new Set(options.rows.map((row) => row.model)), directory);
    for (const row of options.rows) {
      const onProgress = (text: string) => console.error(`${row.name}: ${text}`);
      const modelDirectory = modelDirectories.get(row.model)!;
      try {
        benchmarks.push(await measure(row, { ...options, modelDirectory, onProgress }));
      } catch (error) {
        failures.push({ name: row.name, message: (error as Error).message });
        console.error(`${row.name} failed: ${(error as Error).message}`);
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
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

/** One set of weights for both sides, through the format that both read. */
async function exportModels(names: ReadonlySet<ModelName>, directory: string): Promise<Map<ModelName, string>> {
  const directories = new Map<ModelName, string>();
  for (const name of names) {
    const path = join(directory, name);
    const model = await loadModel({ config: models[name], seed: 1 });
    await model.exportModel(path);
    await model.close();
    directories.set(name, path);
  }
  return directories;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(usage);
  else process.exitCode = await main(options);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}

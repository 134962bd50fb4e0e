import { existsSync, readFileSync } from "node:fs";

/** Test data that lies beside the repository and is never committed. */
const SHARED = new URL("../../../../../shared/data/", import.meta.url);

export const hasSharedData = existsSync(SHARED);

if (!hasSharedData)
  process.stderr.write(`math-verify: tests on shared data are skipped, ${SHARED.pathname} is absent\n`);

export function sharedUrl(path: string): URL {
  return new URL(path, SHARED);
}

export function readShared(path: string): string {
  return readFileSync(sharedUrl(path), "utf8");
}

/** The distinct gold answers of the benchmark files. */
export async function benchmarkGolds(): Promise<string[]> {
  const { asyncBufferFromFile, parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const golds = new Set<string>();
  for (const name of ["critique-grpo-validation", "math-suite-with-aime25", "gpqa"]) {
    const file = await asyncBufferFromFile(sharedUrl(`benchmarks/${name}.parquet`).pathname);
    const rows = await parquetReadObjects({ file, compressors, columns: ["reward_model"] });
    for (const row of rows) golds.add((row.reward_model as { ground_truth: string }).ground_truth);
  }
  return [...golds];
}

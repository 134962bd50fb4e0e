/** One benchmark's file from the Hugging Face hub, kept in a directory so that it is fetched once. */
import { rename, rm, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { InputError } from "../../config/errors.js";
import { ensureDirectory } from "../../run/files.js";
import type { Benchmark, HubSource } from "./registry.js";

export interface HubOptions {
  /** Default: HF_ENDPOINT, else the hub. */
  readonly endpoint?: string | undefined;
  /** Default: HF_TOKEN. */
  readonly token?: string | undefined;
}

/**
 * Downloads the file into the directory as `<name>.<ending>`; its path.
 * @throws InputError if the hub cannot be reached or has no such file: the message says how to do without
 */
export async function downloadBenchmark(
  { name }: Benchmark,
  source: HubSource,
  directory: string,
  options: HubOptions = {},
): Promise<string> {
  const endpoint = options.endpoint ?? process.env.HF_ENDPOINT;
  const token = options.token ?? process.env.HF_TOKEN;
  const shared = {
    repo: { type: "dataset" as const, name: source.repository },
    ...(endpoint === undefined ? {} : { hubUrl: endpoint }),
    ...(token === undefined ? {} : { accessToken: token }),
  };
  try {
    // Only here: nothing else needs the client.
    const { downloadFile, listFiles } = await import("@huggingface/hub");
    const paths: string[] = [];
    for await (const { path, type } of listFiles({ ...shared, recursive: true })) {
      if (type === "file" && source.file.test(path)) paths.push(path);
    }
    const path = paths.sort()[0];
    if (path === undefined) throw new Error(`it has no file like ${source.file.source}`);
    const blob = await downloadFile({ ...shared, path });
    if (blob === null) throw new Error(`${path} is not there`);
    return await keep(directory, `${name}${extname(path)}`, new Uint8Array(await blob.arrayBuffer()));
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
    throw new InputError(
      `benchmark ${name} could not be fetched from the hub's dataset ${source.repository} (${(error as Error).message}${cause}); put its file into a directory as ${name}.parquet or ${name}.jsonl and name that with --benchmark-directory (evaluation.benchmarkDirectory)`,
      { cause: error },
    );
  }
}

async function keep(directory: string, name: string, content: Uint8Array): Promise<string> {
  await ensureDirectory(directory);
  const path = join(directory, name);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, content);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return path;
}

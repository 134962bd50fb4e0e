import { mkdtempSync, rmSync } from "node:fs";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  type CheckpointState,
  listCheckpoints,
  newestCheckpoint,
  pruneCheckpoints,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoints.js";
import { configDifferences, configHash } from "./config-hash.js";
import { appendJsonLine, dropTornLine, readJsonLines, rewindFile, writeFileAtomic } from "./files.js";
import { readMetrics } from "./readers.js";
import { RunDirectory } from "./run-directory.js";
import { readStatus, StatusWriter } from "./status.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-run-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let names = 0;
const fresh = () => join(scratch, `case-${names++}`);

describe("JSON-lines files", () => {
  it("are read without the last line that a crash tore", async () => {
    const path = fresh();
    await appendJsonLine(path, { step: 1, reward: Number.NaN });
    await appendJsonLine(path, { step: 2 });
    await appendFile(path, '{"step": 3, "rew');
    expect(await readJsonLines(path)).toEqual([{ step: 1, reward: null }, { step: 2 }]);
    await dropTornLine(path);
    await appendJsonLine(path, { step: 3 });
    expect(await readJsonLines(path)).toHaveLength(3);
  });

  it("are refused, with file and line, where damage is elsewhere", async () => {
    const path = fresh();
    await writeFile(path, '{"step": 1}\n{"step": \n{"step": 3}\n');
    await expect(readJsonLines(path)).rejects.toThrow(`${path}:2: not a line of JSON`);
  });

  it("are empty where there is no file", async () => {
    expect(await readJsonLines(fresh())).toEqual([]);
    expect(await readMetrics(fresh())).toEqual([]);
  });

  it("are rewound, but never forwards", async () => {
    const path = fresh();
    await writeFile(path, "12345");
    await rewindFile(path, 3);
    expect(await readFile(path, "utf8")).toBe("123");
    await expect(rewindFile(path, 4)).rejects.toThrow("records are lost");
  });
});

describe("writeFileAtomic", () => {
  it("leaves the old content and no temporary file when it fails", async () => {
    const directory = fresh();
    await mkdir(join(directory, "taken"), { recursive: true });
    await writeFileAtomic(join(directory, "a"), "old");
    await expect(writeFileAtomic(join(directory, "taken"), "new")).rejects.toThrow();
    expect(await readdir(directory)).toEqual(["a", "taken"]);
  });
});

describe("checkpoints", () => {
  const state = (step: number): CheckpointState => ({
    schemaVersion: 1,
    step,
    optimizerSteps: 2 * step,
    generatedTokens: 100,
    evaluatedStep: 0,
    configHash: "hash",
    cursors: { "metrics.jsonl": 10 },
  });
  const save = (directory: string) => writeFile(join(directory, "weights.bin"), Buffer.alloc(64, 7));

  it("come back as they were written", async () => {
    const parent = fresh();
    const directory = await writeCheckpoint(parent, state(3), save);
    const checkpoint = await readCheckpoint(directory);
    expect(checkpoint.state).toEqual(state(3));
    expect(await readFile(join(checkpoint.policyDirectory, "weights.bin"))).toHaveLength(64);
  });

  it("do not appear where writing fails half way", async () => {
    const parent = fresh();
    const broken = async (directory: string) => {
      await save(directory);
      throw new Error("disk full");
    };
    await expect(writeCheckpoint(parent, state(1), broken)).rejects.toThrow("disk full");
    expect(await readdir(parent)).toEqual([]);
  });

  it.each([
    [
      "a flipped bit",
      async (directory: string) => writeFile(join(directory, "policy", "weights.bin"), Buffer.alloc(64, 6)),
    ],
    ["a truncated file", async (directory: string) => writeFile(join(directory, "policy", "weights.bin"), "")],
    ["a missing file", async (directory: string) => rmSync(join(directory, "policy", "weights.bin"))],
    ["a missing manifest", async (directory: string) => rmSync(join(directory, "manifest.json"))],
  ])("are set aside, not used and not deleted, with %s", async (_, damage) => {
    const parent = fresh();
    await writeCheckpoint(parent, state(1), save);
    await damage(await writeCheckpoint(parent, state(2), save));
    const messages: string[] = [];
    const newest = await newestCheckpoint(parent, (message) => messages.push(message));
    expect(newest!.state.step).toBe(1);
    expect(messages).toHaveLength(1);
    expect((await readdir(parent)).some((name) => name.startsWith("damaged-step-000002"))).toBe(true);
  });

  it("are an error where none is whole, so that no run silently starts over", async () => {
    const parent = fresh();
    rmSync(join(await writeCheckpoint(parent, state(1), save), "manifest.json"));
    await expect(newestCheckpoint(parent, () => {})).rejects.toThrow("All 1 checkpoints");
    expect(await newestCheckpoint(fresh(), () => {})).toBeNull();
  });

  it("are pruned to the newest, with what an unfinished write left", async () => {
    const parent = fresh();
    for (const step of [1, 2, 10]) await writeCheckpoint(parent, state(step), save);
    await mkdir(join(parent, ".step-000011.123.tmp"));
    await pruneCheckpoints(parent, 2);
    expect(await listCheckpoints(parent)).toEqual([2, 10]);
    expect(await readdir(parent)).toHaveLength(2);
  });
});

describe("status", () => {
  it("is running while the process lives, then what it was told", async () => {
    const directory = fresh();
    await mkdir(directory);
    const writer = new StatusWriter(directory, "train", 2, 10);
    await writer.start();
    expect(await readStatus(directory)).toMatchObject({ state: "running", step: 2, steps: 10, pid: process.pid });
    await writer.update({ state: "finished", step: 10 });
    await writer.stop();
    expect(await readStatus(directory)).toMatchObject({ state: "finished", step: 10 });
  });

  it.each([
    ["the process is gone", { pid: 2 ** 22 + 1, host: hostname(), heartbeatAt: new Date().toISOString() }, "crashed"],
    [
      "the heartbeat has stopped",
      { pid: process.pid, host: hostname(), heartbeatAt: "2020-01-01T00:00:00Z" },
      "crashed",
    ],
    [
      "another machine writes it",
      { pid: 2 ** 22 + 1, host: "elsewhere", heartbeatAt: new Date().toISOString() },
      "running",
    ],
  ])("is right where %s", async (_, facts, state) => {
    const directory = fresh();
    await mkdir(directory);
    await writeFile(join(directory, "status.json"), JSON.stringify({ state: "running", ...facts }));
    expect((await readStatus(directory))!.state).toBe(state);
  });

  it("is null where there is none", async () => {
    expect(await readStatus(fresh())).toBeNull();
  });
});

describe("RunDirectory", () => {
  const options = { config: { steps: 3 }, volatileKeys: [], task: "train", steps: 3, resume: false } as const;

  it("refuses a directory that another process is writing", async () => {
    const directory = fresh();
    await mkdir(directory);
    // The parent of the test process is alive.
    const status = { state: "running", pid: process.ppid, host: hostname(), heartbeatAt: new Date().toISOString() };
    await writeFile(join(directory, "status.json"), JSON.stringify(status));
    await expect(RunDirectory.open(directory, options, () => {})).rejects.toThrow(`written by process ${process.ppid}`);
  });
});

describe("configuration hash", () => {
  it("does not see order, absent keys and ignored ones, and sees everything else", () => {
    const config = { a: 1, b: { c: [1, 2], d: undefined }, runDirectory: "x" };
    const hash = configHash(config, ["runDirectory"]);
    expect(configHash({ b: { c: [1, 2] }, a: 1, runDirectory: "y" }, ["runDirectory"])).toBe(hash);
    expect(configHash({ ...config, b: { c: [2, 1] } }, ["runDirectory"])).not.toBe(hash);
    expect(configHash({ ...config, b: { c: [1, 2], e: 1 } }, ["runDirectory", "b.e"])).toBe(hash);
    expect(configHash({ ...config, b: { c: [1, 2], "e.f": 1 } }, ["runDirectory", "e"])).not.toBe(hash);
  });

  it("names what differs", () => {
    expect(configDifferences({ a: 1, b: { c: [1], d: 2 } }, { a: 1, b: { c: [2] }, e: null })).toEqual([
      "b.c",
      "b.d",
      "e",
    ]);
  });
});

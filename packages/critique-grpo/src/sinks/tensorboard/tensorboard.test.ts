/** Event files read back by a reader of its own; `npm run conformance -- tensorboard` has TensorBoard itself read them. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../../config/schema.js";
import { createProgramCritic } from "../../feedback/critique/program.js";
import type { EventSink } from "../../run/events.js";
import { readMetrics } from "../../run/readers.js";
import {
  copyCodec,
  copyConfig,
  copyCritique,
  copyPolicy,
  copyQuestions,
  copyRewards,
} from "../../testing/copy-task.js";
import { train } from "../../trainer/train.js";
import { crc32c, maskedCrc32c } from "./crc32c.js";
import { exportTensorBoard } from "./tensorboard.js";

/** As in TensorFlow's and TensorBoard's own .proto files. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Event {
    double wall_time = 1; int64 step = 2;
    oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
  }
  message SessionLog { int32 status = 1; }
  message Summary { repeated Value value = 1; }
  message Value {
    string tag = 1;
    oneof value { float simple_value = 2; Tensor tensor = 8; }
    Metadata metadata = 9;
  }
  message Metadata { Plugin plugin_data = 1; }
  message Plugin { string plugin_name = 1; bytes content = 2; }
  message Tensor { int32 dtype = 1; Shape tensor_shape = 2; repeated bytes string_val = 8; }
  message Shape { repeated Dimension dim = 2; }
  message Dimension { int64 size = 1; }
  message HParams { oneof data { Start session_start_info = 3; End session_end_info = 4; } }
  message Start { map<string, Any> hparams = 1; string group_name = 4; double start_time_secs = 5; }
  message End { int32 status = 1; double end_time_secs = 2; }
  message Any { oneof kind { double number_value = 2; string string_value = 3; bool bool_value = 4; } }
`);
const decode = (type: string, bytes: Uint8Array) =>
  root.lookupType(type).toObject(root.lookupType(type).decode(bytes), { longs: Number, bytes: Buffer });

interface Event {
  wallTime: number;
  step?: number;
  fileVersion?: string;
  sessionLog?: { status: number };
  summary?: { value: { tag: string; simpleValue?: number; metadata?: { pluginData: { content: Buffer } } }[] };
}

/** The events of the only file in a directory; every checksum is checked. */
async function readEventFile(directory: string): Promise<Event[]> {
  const names = await readdir(directory);
  expect(names).toEqual([expect.stringMatching(/^events\.out\.tfevents\.\d{10}\./)]);
  const bytes = await readFile(join(directory, names[0]!));
  const events: Event[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc32c(bytes.subarray(at, at + 8)));
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    events.push(decode("Event", data) as unknown as Event);
    at += 16 + length;
  }
  return events;
}

/** `[step, tag, value]` of every scalar. */
function scalars(events: readonly Event[]): [number, string, number][] {
  return events.flatMap(({ step = 0, summary }) =>
    (summary?.value ?? []).flatMap(({ tag, simpleValue }): [number, string, number][] =>
      simpleValue === undefined ? [] : [[step, tag, simpleValue]],
    ),
  );
}

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "tensorboard-"));
});
afterAll(() => rm(scratch, { recursive: true }));

function run(
  name: string,
  overrides: Partial<RunConfigInput> = {},
  more: { resume?: boolean; sinks?: EventSink[]; signal?: AbortSignal } = {},
) {
  return train({
    ...{ policy: copyPolicy(), codec: copyCodec, questions: copyQuestions, rewards: copyRewards },
    config: runSchema.parse(copyConfig({ checkpoint: { every: 2 }, logging: { tensorboard: true }, ...overrides })),
    critic: createProgramCritic(copyCritique),
    evaluate: async () => ({ dataSource: "all", pass1: { value: 0.25 }, passAt: [{ k: 4, value: 0.5 }], sources: [] }),
    runDirectory: join(scratch, name),
    ...more,
  });
}

/** What metrics.jsonl says, as single-precision numbers: TensorBoard knows no others. */
async function expectedScalars(name: string): Promise<[number, string, number][]> {
  return (await readMetrics(join(scratch, name))).flatMap(({ schemaVersion, step, time, ...metrics }) =>
    Object.entries(metrics).flatMap(([tag, value]): [number, string, number][] =>
      typeof value === "number" ? [[step, tag, Math.fround(value)]] : [],
    ),
  );
}

describe("checksums", () => {
  it("are CRC-32C (RFC 3720, B.4), and masked as TensorFlow does it", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(maskedCrc32c(new Uint8Array())).toBe(0xa282ead8);
  });
});

describe("a run with logging.tensorboard", () => {
  it("writes every metric of every step, its evaluations and its configuration", async () => {
    await run("whole");
    const events = await readEventFile(join(scratch, "whole/tensorboard"));
    expect(events[0]).toMatchObject({ fileVersion: "brain.Event:2" });
    const written = scalars(events).filter(([, tag]) => !tag.startsWith("evaluation/"));
    expect(written).toEqual(await expectedScalars("whole"));
    expect(scalars(events).filter(([, tag]) => tag.startsWith("evaluation/"))).toEqual([
      ...[0, 6].flatMap((step) => [
        [step, "evaluation/all/pass@1", 0.25],
        [step, "evaluation/all/pass@4", 0.5],
      ]),
    ]);
    const plugin = (tag: string) =>
      decode(
        "HParams",
        events.flatMap(({ summary }) => summary?.value ?? []).find((value) => value.tag === tag)!.metadata!.pluginData
          .content,
      );
    expect(plugin("_hparams_/session_start_info")).toMatchObject({
      sessionStartInfo: {
        groupName: "whole",
        hparams: {
          "optimizer.learningRate": { numberValue: 0.05 },
          "refinement.stopWhenFound": { boolValue: true },
          "algorithm.shaping.type": { stringValue: "ratio" },
        },
      },
    });
    expect(plugin("_hparams_/session_end_info")).toMatchObject({ sessionEndInfo: { status: 1 } });
  });

  it("says after a resumption what metrics.jsonl says: nothing twice, nothing of what was undone", async () => {
    const controller = new AbortController();
    const sinks: EventSink[] = [
      (event) => {
        if (event.type === "step-finished" && event.step === 3) throw new Error("killed");
      },
    ];
    await expect(run("resumed", {}, { sinks })).rejects.toThrow("killed");
    await run("resumed", {}, { resume: true, signal: controller.signal });
    const events = await readEventFile(join(scratch, "resumed/tensorboard"));
    const steps = scalars(events).filter(([, tag]) => tag === "reward");
    expect(steps.map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    // A TensorBoard that has read the earlier file forgets it.
    expect(events[1]).toMatchObject({ sessionLog: { status: 1 } });
    expect(scalars(events).filter(([, tag]) => !tag.startsWith("evaluation/"))).toEqual(
      await expectedScalars("resumed"),
    );
  });
});

describe("exportTensorBoard", () => {
  it("gives a run without the files what one with them has", async () => {
    await run("plain", { logging: { tensorboard: false } });
    await expect(readdir(join(scratch, "plain/tensorboard"))).rejects.toThrow("ENOENT");
    await exportTensorBoard(join(scratch, "plain"));
    await exportTensorBoard(join(scratch, "plain"));
    const events = await readEventFile(join(scratch, "plain/tensorboard"));
    expect(scalars(events).filter(([, tag]) => !tag.startsWith("evaluation/"))).toEqual(await expectedScalars("plain"));
    await expect(exportTensorBoard(scratch)).rejects.toThrow("holds no run");
  });
});

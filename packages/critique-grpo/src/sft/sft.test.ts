import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { sftDataSchema, sftSchema } from "../config/sft-schema.js";
import type { TokenSequence } from "../policy/policy.js";
import type { RunEvent } from "../run/events.js";
import { readMetrics } from "../run/readers.js";
import { copyCodec, copyQuestions } from "../testing/copy-task.js";
import { TabularPolicy } from "../testing/tabular-policy.js";
import { encodePair, loadPairs } from "./pairs.js";
import { type SftOptions, type SftSettings, sft } from "./sft.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-sft-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const config: SftSettings = sftSchema
  .pick({ seed: true, steps: true, batchSize: true, optimizer: true, checkpoint: true })
  .parse({ steps: 30, batchSize: 4, optimizer: { learningRate: 0.3, weightDecay: 0 }, checkpoint: { every: 10 } });
const pairs = copyQuestions.map(({ text, gold }) => encodePair(copyCodec, { prompt: text, response: gold }));
const policy = () => new TabularPolicy({ vocabularySize: 19 });
const settings = (overrides: Partial<SftOptions> = {}): SftOptions => ({
  config,
  policy: policy(),
  pairs,
  ...overrides,
});

describe("sft", () => {
  it("learns pairs, the end of the response included", async () => {
    const model = policy();
    const { metrics } = await sft(settings({ policy: model }));
    expect(metrics!.loss).toBeLessThan(0.1);
    const { prompt, response } = pairs[0]!;
    const drawn = [];
    const request = {
      prompt,
      count: 1,
      maxTokens: 5,
      temperature: 0,
      topK: 0,
      topP: 1,
      stopTokens: copyCodec.stopTokens,
    };
    for await (const sequence of model.sample([{ ...request, seed: 0 }])) drawn.push(sequence.tokens);
    expect(drawn).toEqual([response]);
  });

  it("starts at the cross-entropy of the uniform distribution and reports what docs/metrics.md lists", async () => {
    const events: RunEvent[] = [];
    await sft(settings({ sinks: [(event) => void events.push(event)] }));
    const first = events.find((event) => event.type === "step-finished")!;
    expect(first.metrics.loss).toBeCloseTo(Math.log(19), 5);
    expect(first.metrics.mean_probability).toBeCloseTo(1 / 19, 5);
    const text = readFileSync(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
    const section = text.split("## Supervised fine-tuning")[1]!.split("\n## ")[0]!;
    const documented = [...section.matchAll(/`([^`]+)`/g)].map((match) => match[1]!).slice(1);
    expect(Object.keys(first.metrics).sort()).toEqual(documented.sort());
  });

  it("takes pairs that a function makes for each step, and continues them bit for bit", async () => {
    const made = (step: number): TokenSequence[] => [pairs[step % pairs.length]!, pairs[(3 * step) % pairs.length]!];
    const whole = policy();
    await sft(settings({ policy: whole, pairs: made }));

    const runDirectory = join(scratch, "generated");
    const stopping = (step: number) => {
      if (step === 17) throw new Error("stop here");
      return made(step);
    };
    await expect(sft(settings({ pairs: stopping, runDirectory }))).rejects.toThrow("stop here");
    const resumed = policy();
    await sft(settings({ policy: resumed, pairs: made, runDirectory, resume: true }));
    expect(resumed.logits).toEqual(whole.logits);
    expect((await readMetrics(runDirectory)).map(({ step }) => step)).toEqual(
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
  });

  it.each<[string, TokenSequence[], string]>([
    ["no pairs", [], "There are no prompt/response pairs"],
    ["an empty response", [{ prompt: [1], response: [] }], "Pair 0 has an empty response"],
    [
      "a pair that is too long",
      [{ prompt: [1], response: Array(64).fill(1) }],
      "Pair 0 has 65 tokens; the context holds 64",
    ],
  ])("refuses %s", async (_, wrong, message) => {
    await expect(sft(settings({ pairs: wrong }))).rejects.toThrow(message);
  });
});

describe("loadPairs", () => {
  const data = (files: string, more: object = {}) => sftDataSchema.parse({ files, ...more });

  it("reads prompts with responses, and conversations", async () => {
    const file = join(scratch, "pairs.jsonl");
    const user = { role: "user", content: "Hi" };
    const rows = [
      { prompt: "a", response: "1" },
      { prompt: [user], response: "Hello" },
      { messages: [user, { role: "assistant", content: "Hello" }] },
    ];
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    expect(await loadPairs(data(file))).toEqual([
      { prompt: [{ role: "user", content: "a" }], response: "1" },
      { prompt: [user], response: "Hello" },
      { prompt: [user], response: "Hello" },
    ]);
    expect(await loadPairs(data(file, { format: "plain", limit: 1 }))).toEqual([{ prompt: "a", response: "1" }]);
  });

  it.each([
    [{ prompt: "a" }, 'needs "prompt" and a text "response", or "messages"; it has prompt'],
    [{ messages: [{ role: "user", content: "Hi" }] }, "end in the assistant's answer"],
  ])("says where a row is wrong: %j", async (row, message) => {
    const file = join(scratch, "wrong.jsonl");
    await writeFile(file, `${JSON.stringify({ prompt: "a", response: "1" })}\n${JSON.stringify(row)}\n`);
    await expect(loadPairs(data(file))).rejects.toThrow(`${file}:2: `);
    await expect(loadPairs(data(file))).rejects.toThrow(message);
  });
});

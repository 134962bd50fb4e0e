import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataSchema } from "../config/schema.js";
import { HuggingFaceTextCodec } from "../text/codec.js";
import { byteTokenizer, MINIMAL_CHAT_TEMPLATE } from "../text/write-tokenizer.js";
import { checkPrompts, requireGold } from "./check.js";
import { loadQuestions } from "./load.js";

const SHARED = resolve(import.meta.dirname, "../../../../../shared/data");

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "data-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function write(name: string, content: string | object[]): string {
  const file = join(directory, name);
  writeFileSync(file, typeof content === "string" ? content : content.map((row) => JSON.stringify(row)).join("\n"));
  return file;
}

async function load(files: string | string[], options: object = {}) {
  return loadQuestions(dataSchema.parse({ files, ...options }));
}

async function questions(rows: string | object[], options: object = {}) {
  return (await load(write("data.jsonl", rows), options)).map(({ question }) => question);
}

describe("rows with known columns", () => {
  it("reads question and answer, keeps the rest, names the row", async () => {
    const [first, second] = await questions([
      { question: "1+1?", answer: 2, level: "easy" },
      { problem: "2+2?", gold: "4", id: "two", data_source: "sums", solution: "2+2=4" },
    ]);
    expect(first).toEqual({
      id: "data#0",
      dataSource: "data",
      text: "1+1?",
      prompt: [{ role: "user", content: "1+1?" }],
      gold: "2",
      metadata: { level: "easy" },
    });
    expect(second).toMatchObject({ id: "two", dataSource: "sums", gold: "4", solution: "2+2=4", metadata: {} });
  });

  it("cuts GSM8K's answer after ####, and keeps what precedes as the solution", async () => {
    const rows = [{ question: "q", answer: "48/2 = 24\n#### 72 " }];
    expect(await questions(rows, { answerAfter: "####" })).toMatchObject([{ gold: "72", solution: "48/2 = 24" }]);
  });

  it("reads verl's nested row", async () => {
    const row = {
      data_source: "aime",
      prompt: [
        { role: "system", content: "Be right." },
        { role: "user", content: "What? Box it." },
      ],
      reward_model: { ground_truth: "204", style: "rule", question: "What?" },
      target: [{ role: "assistant", content: "Because." }],
      extra_info: { index: 0, split: "test" },
    };
    const [question] = await questions([row]);
    expect(question).toMatchObject({
      id: "data#0",
      dataSource: "aime",
      text: "What?",
      gold: "204",
      solution: "Because.",
    });
    expect(question?.prompt).toEqual(row.prompt);
    expect(question?.metadata).toEqual({ reward_model: row.reward_model, extra_info: row.extra_info });
  });

  it("takes the columns that the configuration names", async () => {
    const rows = [{ ask: "q", truth: { value: 7 }, name: "n1", question: "not this" }];
    const columns = { prompt: "ask", answer: "truth.value", id: "name" };
    expect(await questions(rows, { columns })).toMatchObject([{ id: "n1", text: "q", gold: "7" }]);
  });

  it("puts the template around the last user message and the system message first", async () => {
    const options = { promptTemplate: "Q: {question}\nA:", system: "Short." };
    const [question] = await questions([{ question: "cost $& more?", answer: "1" }], options);
    expect(question?.text).toBe("cost $& more?");
    expect(question?.prompt).toEqual([
      { role: "system", content: "Short." },
      { role: "user", content: "Q: cost $& more?\nA:" },
    ]);
    expect(await questions([{ question: "x" }], { promptTemplate: "{question}=", format: "plain" })).toMatchObject([
      { prompt: "x=", text: "x", gold: "" },
    ]);
  });

  it("reads several files, tells equal names apart, and stops at the limit", async () => {
    const files = [write("a.jsonl", [{ question: "1" }, { question: "2" }]), write("b.jsonl", [{ question: "3" }])];
    const ids = async (options: object) => (await load(files, options)).map(({ question }) => question.id);
    expect(await ids({})).toEqual(["a#0", "a#1", "b#0"]);
    expect(await ids({ limit: 2 })).toEqual(["a#0", "a#1"]);
    expect((await load([files[1]!, files[1]!])).map(({ question }) => question.id)).toEqual(["b#0", "b@2#0"]);
  });

  it("ignores blank lines and a byte-order mark", async () => {
    const found = await load(write("bom.jsonl", '\uFEFF{"question":"1"}\r\n\n{"question":"2"}\n'));
    expect(found.map(({ question, location }) => [question.id, location.split(":").at(-1)])).toEqual([
      ["bom#0", "1"],
      ["bom#1", "3"],
    ]);
  });
});

describe("parquet", () => {
  it("reads rows with 64-bit integers", async () => {
    const file = join(directory, "rows.parquet");
    parquetWriteFile({
      filename: file,
      columnData: [
        { name: "question", data: ["1+1", "2+2"], type: "STRING" },
        { name: "answer", data: [2n, 4n], type: "INT64" },
      ],
    });
    expect(await load(file)).toMatchObject([
      { question: { id: "rows#0", gold: "2" }, location: `${file}: row 1` },
      { question: { id: "rows#1", gold: "4" }, location: `${file}: row 2` },
    ]);
  });

  it.skipIf(!existsSync(SHARED))("reads verl's and Critique-GRPO's files (needs ../shared/data)", async () => {
    const digits = await load(join(SHARED, "verl-digit-completion/train.parquet"));
    expect(digits).toHaveLength(800);
    expect(digits[0]?.question).toMatchObject({ id: "train#0", text: "8,3:9,4", gold: "" });
    const validation = await load(join(SHARED, "benchmarks/critique-grpo-validation.parquet"));
    expect(validation).toHaveLength(2019);
    expect(validation[0]?.question).toMatchObject({ dataSource: "aime", gold: "204" });
    expect(validation.every(({ question }) => question.gold !== "")).toBe(true);
    const gsm8k = await load(join(SHARED, "gsm8k/train.jsonl"), { answerAfter: "####" });
    expect(gsm8k).toHaveLength(7473);
    expect(gsm8k[0]?.question).toMatchObject({ gold: "72" });
  });
});

describe("a data module", () => {
  it("maps rows and leaves out those it maps to null", async () => {
    const module = write(
      "map.ts",
      `import { defineDataMap } from "critique-grpo";
       export const mapRow = defineDataMap((row, index) =>
         row.keep ? { prompt: \`\${row.a}+\${row.b}\`, gold: String(Number(row.a) + Number(row.b)), id: "r" + index } : null);`,
    );
    const rows = [
      { a: 1, b: 2, keep: true },
      { a: 1, b: 3 },
      { a: 2, b: 2, keep: true },
    ];
    expect(await questions(rows, { module })).toMatchObject([
      { id: "r0", text: "1+2", gold: "3" },
      { id: "r2", text: "2+2", gold: "4" },
    ]);
  });

  it.each([
    ["() => { throw new Error('odd row'); }", "data.jsonl:1: mapRow failed: odd row"],
    ["() => undefined", "data.jsonl:1: mapRow returned undefined; it must return {prompt, gold, …}, or null"],
    ["() => ({ prompt: 3 })", "mapRow returned prompt of type number"],
    ["() => ({ prompt: 'x', gold: 3 })", "mapRow returned gold of type number; it must be a text"],
    ["() => ({ prompt: 'x', answer: '3' })", 'mapRow returned an unknown key "answer"'],
    ["() => ({ prompt: [{ role: 'bot', content: 'x' }] })", 'mapRow prompt: message 1 has role "bot"'],
    ["() => null", "no questions (mapRow left out every row"],
  ])("%s", async (source, message) => {
    const module = write(`bad-${message.length}-${source.length}.ts`, `export default ${source};`);
    await expect(questions([{ a: 1 }], { module })).rejects.toThrow(message);
  });
});

describe("bad data is refused with its place", () => {
  it.each([
    ['{"question":"1"}\n{"question":', /data\.jsonl:2: not valid JSON: /],
    ["[1]", /data\.jsonl:1: must be a JSON object, one a line/],
    ["", /data\.jsonl: no questions \(no rows\)/],
    [
      '{"querstion":"1"}',
      /data\.jsonl:1: no question; looked for prompt, question, problem, messages, the row has querstion\. Name the column in data\.columns\.prompt/,
    ],
    ['{"question":" "}', /data\.jsonl:1: the question is empty/],
    ['{"prompt":[]}', /column "prompt": the list of messages is empty/],
    ['{"prompt":[{"role":"user"}]}', /message 1 has no text in "content"/],
    ['{"question":"1","answer":{"a":1}}', /column "answer" must be a text or a number, it is {"a":1}/],
    [
      '{"question":"1","id":"x"}\n{"question":"2","id":"x"}',
      /ids must be unique: "x" at .*data\.jsonl:1 and .*data\.jsonl:2/,
    ],
  ])("%j", async (text, message) => {
    await expect(questions(text)).rejects.toThrow(message);
  });

  it("says which named column is not there", async () => {
    const rows = [{ question: "1", anwser: "2" }];
    await expect(questions(rows, { columns: { answer: "answer" } })).rejects.toThrow(
      'no column "answer" (data.columns.answer); the row has question, anwser; did you mean "anwser"?',
    );
    await expect(questions([{ question: "1", answer: "72" }], { answerAfter: "####" })).rejects.toThrow(
      'does not contain "####" (data.answerAfter)',
    );
  });

  it("refuses other kinds of file and broken parquet", async () => {
    await expect(load(write("data.csv", "a,b"))).rejects.toThrow(
      "unknown kind of file; data is read from .jsonl and .parquet",
    );
    await expect(load(write("data.parquet", "PAR1"))).rejects.toThrow(/data\.parquet: cannot be read as parquet: /);
  });
});

describe("checks before the start", () => {
  const files = byteTokenizer({
    special: ["<|im_start|>", "<|im_end|>"],
    eos: "<|im_end|>",
    chatTemplate: MINIMAL_CHAT_TEMPLATE,
  });
  const codec = new HuggingFaceTextCodec({
    directory: "tokenizer",
    tokenizer: files["tokenizer.json"],
    config: files["tokenizer_config.json"],
    chatTemplate: null,
    eosTokenIds: [],
  });

  it("lists prompts that leave no room for a response", async () => {
    const rows = [{ question: "12345" }, { question: "12345678901" }];
    const located = await load(write("long.jsonl", rows), { format: "plain" });
    expect(checkPrompts(located, codec, { contextLength: 20, maxTokens: 9 })).toBe(11);
    expect(() => checkPrompts(located, codec, { contextLength: 20, maxTokens: 10 })).toThrow(
      /1 of 2 prompts are too long: context length 20 less 10 tokens for the response leaves 10 for a prompt\n {2}.*long\.jsonl:2: 11 tokens\nRemedy: .*lower sampling\.maxTokens to 9 or less, or raise engine\.contextLength to 21 or more/,
    );
  });

  it("refuses a tokenizer that does not belong to the model", async () => {
    const located = await load(write("byte.jsonl", [{ question: "z" }]), { format: "plain" });
    expect(() => checkPrompts(located, codec, { contextLength: 9, maxTokens: 1, vocabularySize: 100 })).toThrow(
      "byte.jsonl:1: the tokenizer gives token 122, but the model's vocabulary has 100 tokens",
    );
  });

  it("lists rows without a gold answer where one is needed", async () => {
    const located = await load(write("gold.jsonl", [{ question: "1", answer: "1" }, { question: "2" }]));
    expect(() => requireGold(located, "the reward exact-match")).toThrow(
      /1 of 2 questions have no gold answer, but the reward exact-match needs one: .*gold\.jsonl:2\. Name the column/,
    );
  });
});

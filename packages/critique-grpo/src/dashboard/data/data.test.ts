/** What the server keeps in memory of files, and how it reads them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { bucketSize, downsample } from "./downsample.js";
import { readLastLines, readLines } from "./lines.js";
import { MetricsIndex } from "./metrics-index.js";
import { parseWithoutTokens } from "./token-free.js";
import { tokenPieces } from "./token-reader.js";

const scratch = mkdtempSync(join(tmpdir(), "dashboard-data-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let files = 0;
function file(content: string): string {
  const path = join(scratch, `file-${files++}`);
  writeFileSync(path, content);
  return path;
}

describe("lines", () => {
  it("come with the byte offset they begin at, without a torn last one", async () => {
    const path = file("één\n\nb\ntorn");
    const found: [number, string][] = [];
    for await (const { offset, bytes } of readLines(path)) found.push([offset, bytes.toString()]);
    expect(found).toEqual([
      [0, "één"],
      [6, ""],
      [7, "b"],
    ]);
    for await (const { offset, bytes } of readLines(path, 7)) expect([offset, bytes.toString()]).toEqual([7, "b"]);
  });

  it("may be longer than what is read at a time", async () => {
    const long = "x".repeat(3 << 20);
    const lengths: number[] = [];
    for await (const { bytes } of readLines(file(`a\n${long}\nb\n`))) lengths.push(bytes.length);
    expect(lengths).toEqual([1, long.length, 1]);
  });

  it("of a file's end are whole", async () => {
    const path = file("first\nsecond\nthird\nto");
    expect(await readLastLines(path, 1000)).toEqual(["first", "second", "third"]);
    expect(await readLastLines(path, 12)).toEqual(["third"]);
    expect(await readLastLines(join(scratch, "missing"), 12)).toEqual([]);
  });
});

describe("records without tokens", () => {
  it("lose token arrays and nothing else, whatever the texts say", () => {
    const text = fc.oneof(fc.string(), fc.constantFrom('"tokens":[1,2]', '\\"logprobs\\":[', 'x"tokens":[', "]", "\\"));
    fc.assert(
      fc.property(
        text,
        text,
        fc.array(fc.integer()),
        fc.array(fc.double({ noNaN: true })),
        (a, b, tokens, logprobs) => {
          const record = (keep: boolean) => ({
            question: { text: a, [b]: b },
            promptTokens: keep ? tokens : [],
            initial: [
              {
                text: b,
                tokens: keep ? tokens : [],
                logprobs: keep ? logprobs : [],
                critique: { text: a, tokens: { prompt: 3, completion: 4 } },
              },
            ],
            refinements: [{ tokens: keep ? tokens : [], logprobs: keep ? logprobs : [], promptTokens: 12, text: a }],
          });
          const parsed: unknown = parseWithoutTokens(Buffer.from(JSON.stringify(record(true))));
          expect(parsed).toEqual(JSON.parse(JSON.stringify(record(false))));
        },
      ),
    );
  });
});

describe("curves", () => {
  const metrics = async (values: readonly (number | null)[]) => {
    const lines = values.map((reward, i) => JSON.stringify({ schemaVersion: 1, step: i + 1, time: "", reward }));
    const index = new MetricsIndex(file(`${lines.join("\n")}\n`));
    await index.refresh();
    return index;
  };

  it("keep mean, lowest and highest value of every bucket, and gaps", async () => {
    const index = await metrics([1, 3, 2, null, null, null, 5]);
    expect(downsample(index, "reward", 0, 7, 1).points).toEqual([
      [1, 1],
      [2, 3],
      [3, 2],
      [4, null],
      [5, null],
      [6, null],
      [7, 5],
    ]);
    expect(downsample(index, "reward", 0, 7, 2).points).toEqual([
      [2, 2, 1, 3],
      [4, 2, 2, 2],
      [6, null],
      [7, 5, 5, 5],
    ]);
  });

  it("of any length fit the points that are asked for, and lose no extreme", async () => {
    const values = Array.from({ length: 5000 }, (_, i) => (i === 3210 ? 99 : Math.sin(i)));
    const index = await metrics(values);
    const size = bucketSize(values.length, 400);
    const { points } = downsample(index, "reward", 0, values.length, size);
    expect(points.length).toBeLessThanOrEqual(400);
    expect(Math.max(...points.map((point) => point[3]!))).toBe(99);
    const weighted = points.reduce((sum, [, mean]) => sum + mean! * size, 0);
    expect(weighted / values.length).toBeCloseTo(values.reduce((a, b) => a + b, 0) / values.length, 4);
  });
});

describe("pieces of a text", () => {
  /** A byte a token, as a byte-level tokenizer decodes. */
  const bytes = { decode: (tokens: readonly number[]) => Buffer.from(tokens).toString("utf8") };

  it("are together the whole, and a letter of several bytes comes with its last", () => {
    expect(tokenPieces([...Buffer.from("a€b")], bytes)).toEqual(["a", "", "", "€", "b"]);
    // A written U+FFFD looks like an unfinished letter: that one may take the letter after it along.
    const texts = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\ufffd"));
    fc.assert(
      fc.property(texts, (text) => {
        const tokens = [...Buffer.from(text)];
        const pieces = tokenPieces(tokens, bytes);
        expect(pieces).toHaveLength(tokens.length);
        expect(pieces.join("")).toBe(text);
      }),
    );
  });

  it("keep spaces that a tokenizer puts between words", () => {
    const words = ["let", "x", "be"];
    const spaced = { decode: (tokens: readonly number[]) => tokens.map((id) => words[id]).join(" ") };
    expect(tokenPieces([0, 1, 2], spaced)).toEqual(["let", " x", " be"]);
  });
});

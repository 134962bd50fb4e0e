import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTextCodec } from "./codec.js";
import { encodePrompt } from "./prompt.js";
import { byteTokenizer, characterTokenizer, MINIMAL_CHAT_TEMPLATE, writeTokenizer } from "./write-tokenizer.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "codec-"));
});
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
function directory(files: Readonly<Record<string, unknown>>): string {
  const path = join(root, String(count++));
  writeTokenizer(path, files as never);
  return path;
}

const digits = characterTokenizer({
  vocabulary: ["S", "E", "P", "U", ..."0123456789,:"],
  special: ["S", "E", "P"],
  eos: "E",
  pad: "P",
  unknown: "U",
  chatTemplate:
    "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ sep_token }}{% endif %}",
  config: { sep_token: "S" },
});
const bytes = byteTokenizer({
  special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
  eos: "<|im_end|>",
  pad: "<|endoftext|>",
  chatTemplate: MINIMAL_CHAT_TEMPLATE,
});

describe("one character a token", () => {
  it("round-trips every text of its alphabet", () => {
    const codec = loadTextCodec(directory(digits));
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0123456789,:") }), (text) => {
        const ids = codec.encode(text);
        expect(ids).toHaveLength(text.length);
        expect(codec.decode(ids)).toBe(text);
      }),
    );
  });

  it("has the ids of the vocabulary, special tokens included", () => {
    const codec = loadTextCodec(directory(digits));
    expect(codec.encode("S0,:E")).toEqual([0, 4, 14, 15, 1]);
    expect(codec.decode([0, 4, 14, 1])).toBe("0,");
    expect(codec.decode([0, 4, 14, 1], { keepSpecialTokens: true })).toBe("S0,E");
    expect(codec.decode([1])).toBe("");
    expect(codec.stopTokens).toEqual([1]);
    expect(codec.vocabularySize).toBe(16);
  });

  it("renders the chat template with the tokenizer's own tokens", () => {
    const codec = loadTextCodec(directory(digits));
    expect(encodePrompt(codec, [{ role: "user", content: "7,1" }])).toEqual([11, 14, 5, 0]);
    expect(encodePrompt(codec, "7,1")).toEqual([11, 14, 5]);
  });

  it("maps other characters to the unknown token, or says which one it lacks", () => {
    expect(loadTextCodec(directory(digits)).encode("1x")).toEqual([5, 3]);
    const strict = {
      ...digits,
      "tokenizer.json": { ...digits["tokenizer.json"], model: { type: "WordLevel", vocab: { a: 0, E: 1 } } },
      "tokenizer_config.json": { eos_token: "E" },
    };
    const codec = loadTextCodec(
      directory({ ...strict, "tokenizer.json": { ...strict["tokenizer.json"], added_tokens: [] } }),
    );
    expect(() => codec.encode("ab")).toThrow(/"b" is not in the vocabulary and there is no unknown token \(in "ab"\)/);
  });

  it("keeps spaces as they were sampled", () => {
    const spaced = characterTokenizer({ vocabulary: ["$", " ", ".", "a"], special: ["$"], eos: "$" });
    const codec = loadTextCodec(directory(spaced));
    expect(codec.decode(codec.encode("a . a  ."))).toBe("a . a  .");
  });

  it("knows phrases as well, the longest that fits, and reads them letter for letter", () => {
    const phrases = ["It is wrong", "It is wrong (again)", "\nEnd."];
    const vocabulary = ["$", ...".:It is5", ...phrases].filter((token, i, all) => all.indexOf(token) === i);
    const codec = loadTextCodec(directory(characterTokenizer({ vocabulary, special: ["$"], eos: "$" })));
    const text = "It is wrong (again). It is wrong:5\nEnd.";
    const tokens = codec.encode(text).map((id) => vocabulary[id]);
    expect(tokens).toEqual(["It is wrong (again)", ".", " ", "It is wrong", ":", "5", "\nEnd."]);
    expect(codec.decode(codec.encode(text))).toBe(text);
  });
});

describe("one byte a token", () => {
  it("round-trips any text", () => {
    const codec = loadTextCodec(directory(bytes));
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        fc.pre(!/<\|/.test(text));
        expect(codec.decode(codec.encode(text))).toBe(text);
        expect(codec.encode(text)).toEqual([...new TextEncoder().encode(text)]);
      }),
    );
  });

  it("renders messages with markup as special tokens", () => {
    const codec = loadTextCodec(directory(bytes));
    const ids = codec.encodeChat([{ role: "user", content: "é" }]);
    const text = (value: string) => [...new TextEncoder().encode(value)];
    expect(ids).toEqual([257, ...text("user\né"), 258, ...text("\n"), 257, ...text("assistant\n")]);
    expect(codec.stopTokens).toEqual([258]);
  });
});

describe("HF directories", () => {
  it("takes the template from chat_template.jinja, a list, or none", () => {
    const fromFile = directory(digits);
    writeFileSync(join(fromFile, "chat_template.jinja"), "{{ messages[0].content }}:");
    expect(loadTextCodec(fromFile).encodeChat([{ role: "user", content: "1" }])).toEqual([5, 15]);

    const list = [
      { name: "tools", template: "no" },
      { name: "default", template: "{{ messages[0].content }}," },
    ];
    const config = { ...digits["tokenizer_config.json"], chat_template: list };
    expect(
      loadTextCodec(directory({ ...digits, "tokenizer_config.json": config })).encodeChat([
        { role: "user", content: "1" },
      ]),
    ).toEqual([5, 14]);

    const { chat_template: _, ...plain } = digits["tokenizer_config.json"];
    const codec = loadTextCodec(directory({ ...digits, "tokenizer_config.json": plain }));
    expect(codec.hasChatTemplate).toBe(false);
    expect(codec.encodeChat([{ role: "user", content: "12" }])).toEqual([5, 6]);
  });

  it("puts BOS before a plain prompt and never before a response", () => {
    const bos = { SpecialToken: { id: "S", type_id: 0 } };
    const post = {
      type: "TemplateProcessing",
      single: [bos, { Sequence: { id: "A", type_id: 0 } }],
      pair: [bos, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { S: { id: "S", ids: [0], tokens: ["S"] } },
    };
    const codec = loadTextCodec(
      directory({ ...digits, "tokenizer.json": { ...digits["tokenizer.json"], post_processor: post } }),
    );
    expect(encodePrompt(codec, "1")).toEqual([0, 5]);
    expect(codec.encode("1")).toEqual([5]);
    // The template writes its own special tokens.
    expect(codec.encodeChat([{ role: "user", content: "1" }])).toEqual([5, 0]);
  });

  it("stops at the eos ids of generation_config.json as well", () => {
    const path = directory(digits);
    writeFileSync(join(path, "generation_config.json"), JSON.stringify({ eos_token_id: [2, 1] }));
    expect(loadTextCodec(path).stopTokens).toEqual([1, 2]);
  });

  it.each([
    ["tokenizer.json: no such file", {}],
    ["tokenizer.json: not a tokenizer this program can use: ", { "tokenizer.json": { model: { type: "BPE" } } }],
    ['eos_token "Z" is not in the vocabulary', { ...digits, "tokenizer_config.json": { eos_token: "Z" } }],
    ["no end-of-sequence token", { ...digits, "tokenizer_config.json": {} }],
    [
      "the chat template is not valid Jinja",
      { ...digits, "tokenizer_config.json": { eos_token: "E", chat_template: "{% if %}" } },
    ],
    [
      'none called "default"',
      {
        ...digits,
        "tokenizer_config.json": {
          chat_template: [
            { name: "a", template: "" },
            { name: "b", template: "" },
          ],
        },
      },
    ],
  ])("says %s", (message, files) => {
    expect(() => loadTextCodec(directory(files))).toThrow(message);
  });

  it("says where JSON is broken", () => {
    const path = directory(digits);
    writeFileSync(join(path, "tokenizer.json"), "{");
    expect(() => loadTextCodec(path)).toThrow(/tokenizer\.json: not valid JSON/);
  });

  it("tells which roles a template refuses", () => {
    const config = { ...digits["tokenizer_config.json"], chat_template: "{{ raise_exception('no system') }}" };
    const codec = loadTextCodec(directory({ ...digits, "tokenizer_config.json": config }));
    expect(() => codec.encodeChat([{ role: "system", content: "" }])).toThrow(
      /refuses the messages \(system\): .*no system/,
    );
  });
});

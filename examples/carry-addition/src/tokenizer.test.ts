import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import { modelConfig, tokenizerConfig, tokenizerJson, VOCABULARY } from "./tokenizer.js";

describe("the tokenizer files", () => {
  const tokenizer = new Tokenizer(tokenizerJson() as never, tokenizerConfig());

  it("give one token a character and the text back", () => {
    const text = "3123=3213XT_2344872+9351:";
    const { ids } = tokenizer.encode(text);
    expect(ids.map((id: number) => VOCABULARY[id])).toEqual([...text]);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it("know the end token, which is also the model's", () => {
    expect(tokenizer.encode("4323$").ids.at(-1)).toBe(modelConfig().eos_token_id);
    expect(tokenizer.decode(tokenizer.encode("4323$").ids, { skip_special_tokens: true })).toBe("4323");
  });
});

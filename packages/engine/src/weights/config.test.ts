import { describe, expect, test } from "vitest";
import { parseModelConfig } from "./config.js";

const llama = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 32,
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 128,
};
const qwen3 = { ...llama, architectures: ["Qwen3ForCausalLM"], head_dim: 8 };
const parse = (changes: object) => parseModelConfig({ ...llama, ...changes }, "dir/config.json");

describe("normalisation", () => {
  test("absent keys have the defaults of transformers' classes", () => {
    expect(parse({})).toMatchObject({
      headDimension: 4,
      normEpsilon: 1e-6,
      tiedEmbeddings: false,
      queryKeyValueBias: false,
      outputBias: false,
      mlpBias: false,
      queryKeyNorm: false,
      initializerRange: 0.02,
      eosTokenIds: [],
    });
    expect(parse({ num_key_value_heads: null }).keyValueHeadCount).toBe(4);
    expect(parseModelConfig({ ...qwen3, head_dim: undefined }).headDimension).toBe(128);
  });

  test("which projections have biases depends on the architecture", () => {
    expect(parse({ attention_bias: true, mlp_bias: true })).toMatchObject({
      queryKeyValueBias: true,
      outputBias: true,
      mlpBias: true,
    });
    expect(parse({ architectures: ["Qwen2ForCausalLM"] })).toMatchObject({
      queryKeyValueBias: true,
      outputBias: false,
    });
    expect(parseModelConfig(qwen3)).toMatchObject({ queryKeyValueBias: false, queryKeyNorm: true });
  });

  test("a fresh config may have model_type only", () => {
    expect(parse({ architectures: undefined, model_type: "qwen3", head_dim: 8 }).architecture).toBe("Qwen3ForCausalLM");
  });

  test("eos ids are one, several or none", () => {
    expect(parse({ eos_token_id: 7 }).eosTokenIds).toEqual([7]);
    expect(parse({ eos_token_id: [7, 9] }).eosTokenIds).toEqual([7, 9]);
    expect(parse({ eos_token_id: null }).eosTokenIds).toEqual([]);
  });

  test("the original JSON is kept", () => {
    expect(parse({ custom: 1 }).original).toMatchObject({ custom: 1, vocab_size: 32 });
  });
});

describe("RoPE", () => {
  const frequencies = (changes: object) => [...parse({ head_dim: 8, ...changes }).inverseFrequencies];
  const plain = (theta: number) => [0, 1, 2, 3].map((pair) => Math.fround(1 / theta ** (pair / 4)));

  test("old and new style are the same", () => {
    expect(frequencies({})).toEqual(plain(10000));
    expect(frequencies({ rope_theta: 500 })).toEqual(plain(500));
    expect(frequencies({ rope_parameters: { rope_type: "default", rope_theta: 500 } })).toEqual(plain(500));
    const linear = frequencies({ rope_theta: 500, rope_scaling: { type: "linear", factor: 4 } });
    expect(linear).toEqual(plain(500).map((value) => Math.fround(value / 4)));
    expect(
      frequencies({ rope_parameters: { rope_type: "linear", rope_theta: 500, factor: 4 }, rope_scaling: null }),
    ).toEqual(linear);
  });

  test("llama3 keeps short wavelengths and stretches long ones by the factor", () => {
    const scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    };
    const scaled = frequencies({ rope_scaling: scaling });
    expect(scaled[0]).toBe(1);
    expect(scaled[3]).toBe(Math.fround(plain(10000)[3]! / 8));
  });
});

describe("refusals name the key, its value and what is supported", () => {
  test.each([
    [{ architectures: ["MistralForCausalLM"] }, 'architectures is ["MistralForCausalLM"]; supported: one of Llama'],
    [{ architectures: undefined, model_type: "gpt2" }, 'model_type is "gpt2"; supported: llama, qwen2, qwen3'],
    [{ architectures: undefined }, "architectures is missing"],
    [{ hidden_act: "gelu" }, 'hidden_act is "gelu"; supported: "silu"'],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, 'rope_scaling.rope_type is "yarn"; supported: "default"'],
    [{ rope_parameters: { rope_type: "longrope" } }, 'rope_parameters.rope_type is "longrope"'],
    [{ rope_scaling: { type: "linear" } }, "rope_scaling.factor is missing"],
    [{ rope_scaling: 3 }, "rope_scaling: expected a JSON object"],
    [{ quantization_config: { bits: 4 } }, 'quantization_config is {"bits":4}'],
    [{ num_key_value_heads: 3 }, "num_key_value_heads is 3; supported: a divisor of num_attention_heads (4)"],
    [{ head_dim: 5 }, "head_dim is 5; supported: an even number"],
    [{ hidden_size: "16" }, 'hidden_size is "16"; supported: a whole number of at least 1'],
    [{ vocab_size: undefined }, "vocab_size is missing"],
    [{ hidden_size: 18 }, "hidden_size is 18; supported: a multiple of num_attention_heads (4)"],
    [{ attention_dropout: 0.1 }, "attention_dropout is 0.1; supported: 0"],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor is 0.5; supported: 1"],
    [{ eos_token_id: "</s>" }, 'eos_token_id is "</s>"; supported: a token id'],
    [{ tie_word_embeddings: 1 }, "tie_word_embeddings is 1; supported: true or false"],
  ] as [object, string][])("%j", (changes, message) => {
    expect(() => parse(changes)).toThrow(`dir/config.json: ${message}`);
  });

  test("an active sliding window; one that no layer uses is fine", () => {
    const active = { ...qwen3, use_sliding_window: true, sliding_window: 64, max_window_layers: 1 };
    expect(() => parseModelConfig(active)).toThrow("use_sliding_window is true; supported: false");
    expect(() => parseModelConfig({ ...qwen3, layer_types: ["full_attention", "sliding_attention"] })).toThrow(
      "layer_types is",
    );
    parseModelConfig({ ...active, max_window_layers: 2 });
    parseModelConfig({ ...qwen3, use_sliding_window: false, sliding_window: 64 });
  });

  test("what is not an object", () => {
    expect(() => parseModelConfig([], "x.json")).toThrow("x.json: expected a JSON object");
  });
});

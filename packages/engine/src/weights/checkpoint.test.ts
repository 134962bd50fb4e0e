import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test, vi } from "vitest";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.js";
import { parseModelConfig } from "./config.js";
import { initializeParameters } from "./initialize.js";
import { ParameterStore, parameterLayout } from "./parameters.js";
import { writeSafetensors } from "./safetensors.js";

const fixtures = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "engine-checkpoint-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let copies = 0;
/** A copy of a fixture that a test may break. */
function copy(name: string): string {
  const target = join(scratch, `${name}-${copies++}`);
  cpSync(join(fixtures, name), target, { recursive: true });
  return target;
}
function edit(path: string, change: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, "utf8"));
  change(json);
  writeFileSync(path, JSON.stringify(json));
}

describe("loading", () => {
  test.each([
    "llama-tied-linear",
    "llama-llama3-sharded",
    "llama-llama3-f16",
    "qwen2-bias",
    "qwen2-tied-bf16",
    "qwen3-tied",
    "qwen3-bf16-sharded",
  ])("%s, then saved and loaded again: the same", async (name) => {
    const loaded = await loadCheckpoint(join(fixtures, name));
    expect(loaded.parameters.data.some((value) => value !== 0)).toBe(true);
    const target = join(scratch, `saved-${name}`);
    await saveCheckpoint(target, loaded);
    const again = await loadCheckpoint(target, { gradients: false });
    expect(again.parameters.data).toEqual(loaded.parameters.data);
    expect(again.parameters.gradients.length).toBe(0);
    expect(again.eosTokenIds).toEqual(loaded.eosTokenIds);
    const { original } = again.config;
    expect(original).toEqual({ ...loaded.config.original, [original.dtype ? "dtype" : "torch_dtype"]: "float32" });
  });

  test("q, k, v lie next to each other, and so do gate and up", async () => {
    const { parameters } = await loadCheckpoint(join(fixtures, "qwen3-tied"));
    const attention = "model.layers.1.self_attn.";
    const names = ["q", "k", "v"].map((letter) => `${attention}${letter}_proj.weight`);
    const fused = parameters.fused(names);
    const rows = names.map((name) => parameters.get(name).shape[0]!);
    expect(fused.shape).toEqual([rows[0]! + rows[1]! + rows[2]!, 32]);
    expect(fused.data.subarray(rows[0]! * 32, (rows[0]! + rows[1]!) * 32)).toEqual(parameters.get(names[1]!).data);
    parameters.fused(["model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"]);
    expect(() => parameters.fused([names[0]!, names[2]!])).toThrow("does not follow its predecessor");
    expect(() => parameters.get("nothing")).toThrow('no parameter "nothing"');
  });
});

describe("memory while loading", () => {
  /** 33 MB of float32 in four shards, the largest tensor 8 MB. */
  const config = parseModelConfig({
    ...{ model_type: "qwen2", vocab_size: 8192, hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 4 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true },
  });
  const shards = 4;

  async function sharded(dtype: "float32" | "bfloat16"): Promise<string> {
    const directory = mkdtempSync(join(scratch, "sharded-"));
    writeFileSync(join(directory, "config.json"), JSON.stringify(config.original));
    const tensors = [...initializeParameters(config, 1).parameters.values()];
    const weightMap: Record<string, string> = {};
    for (let shard = 0; shard < shards; shard++) {
      const name = `model-${shard}.safetensors`;
      const part = tensors.filter((_, index) => index % shards === shard);
      for (const tensor of part) weightMap[tensor.name] = name;
      await writeSafetensors(join(directory, name), part, { dtype });
    }
    writeFileSync(join(directory, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
    return directory;
  }

  test.each([
    ["float32", false],
    ["bfloat16", false],
    ["bfloat16", true],
  ] as const)("is the weights and 2 MB for each file (%s, as stored: %s)", async (dtype, keepHalves) => {
    const directory = await sharded(dtype);
    const handle = await openFile(join(directory, "config.json"));
    const reads: ArrayBufferLike[] = [];
    const read = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, "read");
    await handle.close();
    const { parameters } = await loadCheckpoint(directory, { gradients: false, keepHalves });
    for (const [target] of read.mock.calls as unknown as [Uint8Array][]) reads.push(target.buffer);
    read.mockRestore();
    const weights = new Set<ArrayBufferLike>([parameters.data.buffer, parameters.halves.buffer]);
    const beside = [...new Set(reads)].filter((buffer) => !weights.has(buffer));
    expect(reads.length).toBeGreaterThan(parameters.parameters.size);
    expect(beside.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(shards * 2.1 * 2 ** 20);
  });
});

describe("faults name file and tensor", () => {
  const faults: [string, string, (directory: string) => void, string][] = [
    ["no weights", "qwen3-tied", (d) => rmSync(join(d, "model.safetensors")), "neither model.safetensors nor"],
    ["no config", "qwen3-tied", (d) => rmSync(join(d, "config.json")), "config.json: no such file"],
    [
      "config is not JSON",
      "qwen3-tied",
      (d) => writeFileSync(join(d, "config.json"), "{"),
      "config.json: not valid JSON",
    ],
    [
      "truncated",
      "qwen3-tied",
      (d) => writeFileSync(join(d, "model.safetensors"), readFileSync(join(d, "model.safetensors")).subarray(0, -100)),
      "it is truncated",
    ],
    [
      "missing head",
      "qwen3-tied",
      (d) => edit(join(d, "config.json"), (json) => Object.assign(json, { tie_word_embeddings: false })),
      'model.safetensors: tensor "lm_head.weight" is missing; set tie_word_embeddings to true',
    ],
    [
      "other shape",
      "qwen3-tied",
      (d) => edit(join(d, "config.json"), (json) => Object.assign(json, { vocab_size: 999 })),
      'tensor "model.embed_tokens.weight" has shape',
    ],
    [
      "unexpected tensor",
      "qwen2-bias",
      (d) => edit(join(d, "config.json"), (json) => Object.assign(json, { num_hidden_layers: 1 })),
      "is not part of Qwen2ForCausalLM",
    ],
    [
      "missing shard",
      "llama-llama3-sharded",
      (d) => rmSync(join(d, "model-00002-of-00005.safetensors")),
      "model-00002-of-00005.safetensors: no such file",
    ],
    [
      "shard outside of the directory",
      "llama-llama3-sharded",
      (d) =>
        edit(join(d, "model.safetensors.index.json"), (json) => {
          (json.weight_map as Record<string, string>)["model.norm.weight"] = "../model.safetensors";
        }),
      "is not a file name in this directory",
    ],
    [
      "shard without its tensor",
      "llama-llama3-sharded",
      (d) =>
        edit(join(d, "model.safetensors.index.json"), (json) => {
          (json.weight_map as Record<string, string>)["model.norm.weight"] = "model-00001-of-00005.safetensors";
        }),
      'model-00001-of-00005.safetensors: tensor "model.norm.weight" is missing',
    ],
    [
      "NaN",
      "qwen3-tied",
      (d) => {
        const bytes = readFileSync(join(d, "model.safetensors"));
        bytes.writeFloatLE(Number.NaN, bytes.length - 4);
        writeFileSync(join(d, "model.safetensors"), bytes);
      },
      "holds NaN at element",
    ],
  ];
  test.each(faults)("%s", async (_, fixture, damage, message) => {
    const directory = copy(fixture);
    damage(directory);
    await expect(loadCheckpoint(directory)).rejects.toThrow(message);
    await expect(loadCheckpoint(directory)).rejects.toThrow(directory);
  });
});

describe("fresh models", () => {
  const config = parseModelConfig({
    model_type: "qwen2",
    vocab_size: 50,
    hidden_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 40,
    max_position_embeddings: 64,
    eos_token_id: 3,
  });

  test("the seed decides; matrices are normal, norms 1, biases 0", () => {
    const store = initializeParameters(config, 5);
    expect(initializeParameters(config, 5).data).toEqual(store.data);
    expect(initializeParameters(config, 6).data).not.toEqual(store.data);
    const { data } = store.get("model.embed_tokens.weight");
    const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
    const deviation = Math.sqrt(data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length);
    expect(Math.abs(mean)).toBeLessThan(0.002);
    expect(deviation).toBeGreaterThan(0.019);
    expect(deviation).toBeLessThan(0.021);
    expect(new Set(store.get("model.norm.weight").data)).toEqual(new Set([1]));
    expect(new Set(store.get("model.layers.0.self_attn.q_proj.bias").data)).toEqual(new Set([0]));
    expect(store.parameterCount).toBe([...store.parameters.values()].reduce((sum, p) => sum + p.data.length, 0));
  });

  test("a saved one has what transformers needs to load it", async () => {
    const parameters = initializeParameters(config, 1);
    const directory = join(scratch, "fresh");
    const model = { config, parameters, generationConfig: undefined, eosTokenIds: config.eosTokenIds };
    await saveCheckpoint(directory, model, { dtype: "bfloat16" });
    const json = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
    expect(json).toMatchObject({ architectures: ["Qwen2ForCausalLM"], model_type: "qwen2", torch_dtype: "bfloat16" });
    const again = await loadCheckpoint(directory);
    expect(again.eosTokenIds).toEqual([3]);
    const embedding = parameters.get("model.embed_tokens.weight").data;
    for (const [index, value] of again.parameters.get("model.embed_tokens.weight").data.entries()) {
      expect(Math.abs(value - embedding[index]!)).toBeLessThanOrEqual(Math.abs(embedding[index]!) / 256);
    }
  });

  test("a frozen copy has its own memory", () => {
    const store = new ParameterStore(parameterLayout(config));
    const copy = store.copyWeights();
    store.data.fill(1);
    expect(copy.data.every((value) => value === 0)).toBe(true);
  });
});

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ModelConfig } from "./config.js";
import { ConfigReader } from "./config-reader.js";
import { exists, readJson, writeJson } from "./json-file.js";
import { emptyAdapter, type LoraAdapter, type LoraConfig, loraConfig } from "./lora.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
/** PEFT wraps the model twice; its files carry the path. */
const PREFIX = "base_model.model.";

/** What adapter_config.json says. */
export interface AdapterDescription {
  readonly lora: LoraConfig;
  /** Directory or hub name of the model that the adapter belongs to, as it is written there. */
  readonly baseModel: string | undefined;
}

/**
 * PEFT 0.21 writes "all-linear" as the paths of all modules, `model.layers.0.mlp.up_proj`. That no layer is left out shows when
 * the tensors are read.
 */
function withoutPath(module: string): string {
  return module.replace(/^model\.layers\.\d+\.(self_attn|mlp)\./, "");
}

/** Whether a directory holds a PEFT adapter rather than a model. */
export async function isAdapterDirectory(directory: string): Promise<boolean> {
  return (await exists(join(directory, CONFIG_FILE))) && !(await exists(join(directory, "config.json")));
}

/** Settings of PEFT that change what an adapter computes; each must have the value that the engine computes. */
const NEUTRAL: readonly (readonly [key: string, neutral: (value: unknown) => boolean, expected: string])[] = [
  ["peft_type", (value) => value === "LORA", '"LORA"'],
  ["use_dora", (value) => !value, "false"],
  ["use_rslora", (value) => !value, "false"],
  ["bias", (value) => value === undefined || value === "none", '"none"'],
  ["fan_in_fan_out", (value) => !value, "false"],
  ["lora_bias", (value) => !value, "false"],
  ["use_qalora", (value) => !value, "false"],
  ["use_bdlora", isEmpty, "nothing"],
  ["kasa_config", isEmpty, "nothing"],
  ["monteclora_config", isEmpty, "nothing"],
  ["alora_invocation_tokens", isEmpty, "nothing"],
  ["layer_replication", isEmpty, "nothing"],
  ["target_parameters", isEmpty, "nothing"],
  ["trainable_token_indices", isEmpty, "nothing"],
  ["modules_to_save", isEmpty, "nothing"],
  ["layers_to_transform", isEmpty, "nothing (all layers)"],
  ["rank_pattern", isEmpty, "{}"],
  ["alpha_pattern", isEmpty, "{}"],
];

function isEmpty(value: unknown): boolean {
  return !value || (typeof value === "object" && Object.keys(value).length === 0);
}

/**
 * Reads and checks adapter_config.json.
 * @throws Error that names file and key: kinds of adapter that the engine cannot compute are refused
 */
export async function readAdapterDescription(directory: string): Promise<AdapterDescription> {
  const path = join(directory, CONFIG_FILE);
  const reader = new ConfigReader(await readJson(path), path);
  for (const [key, neutral, expected] of NEUTRAL) if (!neutral(reader.get(key))) reader.fail(key, expected);
  const modules = reader.get("target_modules");
  const isList = Array.isArray(modules) && modules.every((module) => typeof module === "string");
  if (!isList && modules !== "all-linear") reader.fail("target_modules", 'a list of module names or "all-linear"');
  const targets = isList ? [...new Set(modules.map(withoutPath))] : "all-linear";
  const baseModel = reader.get("base_model_name_or_path");
  try {
    const rank = reader.size("r");
    const lora = loraConfig({ rank, alpha: reader.positive("lora_alpha", 8), targets });
    return { lora, baseModel: typeof baseModel === "string" ? baseModel : undefined };
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Reads a PEFT adapter directory for a model.
 * @throws Error that names file and key or tensor
 */
export async function loadAdapter(
  directory: string,
  model: ModelConfig,
  options: { readonly gradients?: boolean } = {},
): Promise<LoraAdapter> {
  const { lora } = await readAdapterDescription(directory);
  const adapter = emptyAdapter(model, lora, options);
  const file = await SafetensorsFile.open(join(directory, WEIGHTS_FILE));
  try {
    for (const name of file.header.tensors.keys())
      if (!adapter.parameters.parameters.has(name.replace(PREFIX, "")))
        throw new Error(
          `${file.path}: tensor "${name}" is not part of a LoRA adapter of rank ${lora.rank} on ${lora.targets.join(", ")} of this model`,
        );
    for (const { name, shape, data } of adapter.parameters.parameters.values())
      await file.read(`${PREFIX}${name}`, shape, data);
  } finally {
    await file.close();
  }
  return adapter;
}

/** Writes a directory that PEFT loads onto `baseModel`. The weights come last: without them it is not complete. */
export async function saveAdapter(directory: string, adapter: LoraAdapter, baseModel: string | null): Promise<void> {
  const { rank, alpha, targets } = adapter.config;
  await mkdir(directory, { recursive: true });
  await writeJson(join(directory, CONFIG_FILE), {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: baseModel,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    target_modules: targets,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    layers_to_transform: null,
    rank_pattern: {},
    alpha_pattern: {},
  });
  const tensors = [...adapter.parameters.parameters.values()].map(({ name, shape, data }) => ({
    name: `${PREFIX}${name}`,
    shape,
    data,
  }));
  await writeSafetensors(join(directory, WEIGHTS_FILE), tensors);
}

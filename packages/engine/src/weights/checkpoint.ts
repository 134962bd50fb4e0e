import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { type ModelConfig, parseModelConfig } from "./config.js";
import { ConfigReader } from "./config-reader.js";
import { type FloatType, firstNotFinite } from "./half.js";
import { exists, readJson, writeJson } from "./json-file.js";
import { type LoraAdapter, mergedWeight } from "./lora.js";
import {
  mayKeepHalves,
  type Parameter,
  type ParameterSpecification,
  ParameterStore,
  parameterLayout,
} from "./parameters.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";

export interface Checkpoint {
  readonly config: ModelConfig;
  /** generation_config.json as it was read, for export. */
  readonly generationConfig: Readonly<Record<string, unknown>> | undefined;
  /** Of generation_config.json if it names some, else of config.json. */
  readonly eosTokenIds: readonly number[];
}

export interface LoadedModel extends Checkpoint {
  readonly parameters: ParameterStore;
  /** Where there is one, it alone is trained. */
  readonly adapter?: LoraAdapter | undefined;
}

/** A model and where its weights come from, for the description of an adapter. */
export interface OpenedModel extends LoadedModel {
  readonly directory: string | null;
}

/** Reads and checks the JSON files of a Hugging Face model directory. */
export async function readCheckpoint(directory: string): Promise<Checkpoint> {
  const configPath = join(directory, "config.json");
  const config = parseModelConfig(await readJson(configPath), configPath);
  const generationPath = join(directory, "generation_config.json");
  if (!(await exists(generationPath))) {
    return { config, generationConfig: undefined, eosTokenIds: config.eosTokenIds };
  }
  const generation = new ConfigReader(await readJson(generationPath), generationPath);
  const eosTokenIds = generation.tokenIds("eos_token_id");
  return {
    config,
    generationConfig: generation.json,
    eosTokenIds: eosTokenIds.length > 0 ? eosTokenIds : config.eosTokenIds,
  };
}

export interface CheckpointOptions {
  /** False: no memory for gradients. */
  readonly gradients?: boolean;
  /** True: matrices that have 16 bits in their file stay as they are, save for the head. Default false: float32. */
  readonly keepHalves?: boolean;
}

/**
 * Loads a Hugging Face model directory: config.json and model.safetensors, or the shards that
 * model.safetensors.index.json lists. A tensor is read straight into its place.
 * @throws Error that names file and key or tensor.
 */
export async function loadCheckpoint(
  directory: string,
  { gradients = true, keepHalves = false }: CheckpointOptions = {},
): Promise<LoadedModel> {
  const checkpoint = await readCheckpoint(directory);
  const files = await openWeightFiles(directory);
  try {
    const fileOf = assignTensors(directory, files, checkpoint.config);
    const typeOf = keepHalves ? keptTypes(checkpoint.config, fileOf) : () => "float32" as const;
    const parameters = new ParameterStore(parameterLayout(checkpoint.config), { gradients, typeOf });
    for (const parameter of parameters.parameters.values()) {
      const { name, shape, type, data, halves } = parameter;
      const file = fileOf.get(name);
      if (file === undefined) throw missingTensor(directory, files, name);
      await file.read(name, shape, type === "float32" ? data : halves);
      assertFinite(file.path, parameter);
    }
    return { ...checkpoint, parameters };
  } finally {
    for (const file of files) await file.close();
  }
}

async function openWeightFiles(directory: string): Promise<SafetensorsFile[]> {
  const single = join(directory, "model.safetensors");
  if (await exists(single)) return [await SafetensorsFile.open(single)];
  const indexPath = join(directory, "model.safetensors.index.json");
  if (!(await exists(indexPath))) {
    throw new Error(`${directory}: there is neither model.safetensors nor model.safetensors.index.json`);
  }
  const weightMap = new ConfigReader(await readJson(indexPath), indexPath).object("weight_map");
  const names = new Set(Object.values(weightMap?.json ?? {}).map(String));
  if (names.size === 0) throw new Error(`${indexPath}: weight_map is missing or empty`);
  const files: SafetensorsFile[] = [];
  try {
    for (const name of names) {
      if (basename(name) !== name) throw new Error(`${indexPath}: "${name}" is not a file name in this directory`);
      files.push(await SafetensorsFile.open(join(directory, name)));
    }
    for (const [tensor, name] of Object.entries(weightMap!.json)) {
      const file = files.find(({ path }) => basename(path) === name);
      if (!file?.header.tensors.has(tensor)) {
        throw new Error(
          `${join(directory, String(name))}: tensor "${tensor}" is missing (${indexPath} says it is here)`,
        );
      }
    }
    return files;
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

/** Which file holds which tensor. Tensors that the architecture does not have are an error, save for known leftovers. */
function assignTensors(
  directory: string,
  files: readonly SafetensorsFile[],
  config: ModelConfig,
): Map<string, SafetensorsFile> {
  const expected = new Set(parameterLayout(config).flatMap((run) => run.map(({ name }) => name)));
  const fileOf = new Map<string, SafetensorsFile>();
  for (const file of files) {
    for (const name of file.header.tensors.keys()) {
      const other = fileOf.get(name);
      if (other !== undefined) throw new Error(`${file.path}: tensor "${name}" is in ${other.path} too`);
      // Old checkpoints store RoPE's frequencies; a tied head is the embedding, whatever copy a file may hold.
      const leftover = name.endsWith(".rotary_emb.inv_freq") || (config.tiedEmbeddings && name === "lm_head.weight");
      if (!expected.has(name) && !leftover) {
        throw new Error(
          `${file.path}: tensor "${name}" is not part of ${config.architecture} as ${directory}/config.json describes it`,
        );
      }
      fileOf.set(name, file);
    }
  }
  return fileOf;
}

/**
 * How tensors are kept if what has 16 bits in its file stays so. One graph serves all layers, so that a matrix has 16 bits in
 * every layer or in none.
 */
function keptTypes(
  config: ModelConfig,
  fileOf: ReadonlyMap<string, SafetensorsFile>,
): (specification: ParameterSpecification) => FloatType {
  const withoutLayer = (name: string) => name.replace(/^model\.layers\.\d+\./, "");
  const types = new Map<string, Set<FloatType>>();
  for (const [name, file] of fileOf) {
    const type = file.typeOf(name) ?? "float32";
    const known = types.get(withoutLayer(name));
    if (known) known.add(type);
    else types.set(withoutLayer(name), new Set([type]));
  }
  return (specification) => {
    const [type = "float32", ...others] = types.get(withoutLayer(specification.name)) ?? [];
    return mayKeepHalves(config, specification) && others.length === 0 ? type : "float32";
  };
}

function missingTensor(directory: string, files: readonly SafetensorsFile[], name: string): Error {
  const where = files.length === 1 ? files[0]!.path : `${directory} (${files.length} files)`;
  const hint = name === "lm_head.weight" ? "; set tie_word_embeddings to true if the head is the embedding matrix" : "";
  return new Error(`${where}: tensor "${name}" is missing${hint}`);
}

function assertFinite(path: string, { name, type, data, halves }: Parameter): void {
  const fail = (held: string, index: number) => {
    throw new Error(`${path}: tensor "${name}" holds ${held} at element ${index}; weights must be finite`);
  };
  if (type !== "float32") {
    const index = firstNotFinite(halves, type);
    if (index >= 0) fail("a number that is not finite", index);
    return;
  }
  for (let index = 0; index < data.length; index++) if (!Number.isFinite(data[index])) fail(String(data[index]), index);
}

/**
 * Writes a model directory that transformers loads: config.json (as it was read, with the new dtype),
 * generation_config.json and model.safetensors, adapters merged into their matrices. The weights come last: a directory
 * without them is not complete.
 */
export async function saveCheckpoint(
  directory: string,
  model: LoadedModel,
  options: { readonly dtype?: FloatType } = {},
): Promise<void> {
  const dtype = options.dtype ?? "float32";
  await mkdir(directory, { recursive: true });
  const { original, architecture } = model.config;
  // transformers renamed the key in version 5 and still reads the old one; other versions only know the old one.
  const dtypeKey = Object.hasOwn(original, "dtype") ? "dtype" : "torch_dtype";
  const config = {
    ...original,
    architectures: [architecture],
    model_type: original.model_type ?? architecture.replace("ForCausalLM", "").toLowerCase(),
    [dtypeKey]: dtype,
  };
  await writeJson(join(directory, "config.json"), config);
  if (model.generationConfig !== undefined) {
    await writeJson(join(directory, "generation_config.json"), model.generationConfig);
  } else if (model.eosTokenIds.length > 0) {
    const [first] = model.eosTokenIds;
    const eosTokenId = model.eosTokenIds.length === 1 ? first : model.eosTokenIds;
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: eosTokenId });
  }
  const tensors = [...model.parameters.parameters.values()].map((parameter) => ({
    name: parameter.name,
    shape: parameter.shape,
    data: () => mergedWeight(parameter, model.adapter),
  }));
  await writeSafetensors(join(directory, "model.safetensors"), tensors, { dtype });
}

/** Routes that give a promise: training, saving, loading, sampling. */
import { createHash } from "node:crypto";
import {
  type ForwardBackwardRequest,
  inputTokens,
  type SampleResponse,
  type SamplingParams,
} from "@critique-grpo/tinker";
import {
  adamParamsFromJson,
  decodeForwardBackwardRequest,
  forwardBackwardRequestFromJson,
  sampleRequestFromJson,
} from "@critique-grpo/tinker/codec";
import { BadRequest } from "../../http/errors.js";
import { type AdapterShape, checkAdapterShape, describeShape, loraFacts } from "../models/adapter-shape.js";
import type { CheckpointRecord } from "../models/checkpoint-store.js";
import { checkTokens } from "../models/datum-sequences.js";
import { generateText, pieceSeed } from "../models/generate-text.js";
import type { Weights } from "../models/model-host.js";
import type { TrainingModel } from "../models/training-model.js";
import {
  type JsonObject,
  optionalBoolean,
  optionalInteger,
  optionalObject,
  optionalString,
  readInteger,
  readString,
} from "./json-body.js";
import type { Result } from "./promises.js";
import type { TinkerService } from "./service.js";

/** `key` recognises a repetition; `facts` go into the answer beside the promise. */
export interface Job {
  readonly key: string | undefined;
  readonly start: () => { readonly work: (signal: AbortSignal) => Promise<Result>; readonly facts: object };
}

/** Samplers without a name that stay usable, for each model. */
const EPHEMERAL_KEPT = 4;

const json = (value: object): Result => ({ kind: "json", value });

/** The body of forward and forward_backward, in either form. Throws BadRequest. */
export function passRequest(path: string, body: Buffer, parsed: JsonObject | undefined): ForwardBackwardRequest {
  try {
    const request = parsed === undefined ? decodeForwardBackwardRequest(body) : forwardBackwardRequestFromJson(parsed);
    return path === "forward" ? { ...request, forwardOnly: true } : request;
  } catch (error) {
    throw new BadRequest((error as Error).message);
  }
}

export function passJob(service: TinkerService, request: ForwardBackwardRequest): Job {
  const model = service.model(request.modelId);
  return trainingJob(model, request.seqId || undefined, async () => {
    return { kind: "training", output: await model.pass(request) };
  });
}

/** Undefined for a route that is none of these. */
export function jsonJob(service: TinkerService, path: string, body: JsonObject): Job | undefined {
  switch (path) {
    case "create_model":
      return createModelJob(service, body);
    case "load_weights":
      return body.model_id === undefined || body.model_id === null
        ? createFromCheckpointJob(service, body)
        : loadJob(service, body);
    case "optim_step":
      return stepJob(service, body);
    case "save_weights":
      return saveJob(service, body);
    case "save_weights_for_sampler":
      return saveForSamplerJob(service, body);
    case "unload_model": {
      const id = readString(body, "model_id");
      const work = async () => {
        const model = service.models.get(id);
        if (model !== undefined) await service.unload(model);
        return json({ model_id: id, type: "unload_model" });
      };
      return { key: undefined, start: () => ({ work, facts: { model_id: id } }) };
    }
    case "asample":
      return sampleJob(service, body);
    default:
      return undefined;
  }
}

function trainingJob(model: TrainingModel, given: number | undefined, task: () => Promise<Result>): Job {
  const { id } = model.facts;
  return {
    key: given === undefined ? undefined : `${id} seq_id ${given}`,
    start: () => {
      const seqId = model.claimSequenceId(given);
      return { work: () => model.inOrder(seqId, task), facts: { model_id: id } };
    },
  };
}

function createModelJob(service: TinkerService, body: JsonObject): Job {
  const session = service.session(readString(body, "session_id"));
  const baseModel = readString(body, "base_model");
  const optimizer = optionalObject(body, "optimizer_config")?.type ?? "adamw";
  return creation(service, session.id, body, async (id) => {
    service.checkBaseModel(baseModel);
    if (optimizer !== "adamw")
      throw new BadRequest(`optimizer_config: only adamw is supported, not ${String(optimizer)}`);
    const userMetadata = optionalObject(body, "user_metadata") ?? {};
    const asked = optionalObject(body, "lora_config") ?? {};
    const lora = service.options.fineTuning === "full" ? null : readShape(asked);
    const seed = optionalInteger(asked, "seed") ?? hashSeed(id);
    await service.createModel({ id, sessionId: session.id, baseModel, userMetadata, lora }, seed);
    return json({ model_id: id, base_model: baseModel, ...loraFacts(lora), type: "create_model" });
  });
}

/** Null: full fine-tuning, which rank 0 asks for and no rank at all. */
function readShape(asked: JsonObject): AdapterShape | null {
  const rank = optionalInteger(asked, "rank") ?? 0;
  if (rank === 0) return null;
  // The defaults of the protocol.
  const [trainAttn, trainMlp, trainUnembed] = ["train_attn", "train_mlp", "train_unembed"].map(
    (key) => optionalBoolean(asked, key) ?? true,
  ) as [boolean, boolean, boolean];
  const shape = { rank, trainAttn, trainMlp };
  checkAdapterShape(shape, trainUnembed);
  return shape;
}

function createFromCheckpointJob(service: TinkerService, body: JsonObject): Job {
  const session = service.session(readString(body, "session_id"));
  const path = readString(body, "path");
  const baseModel = optionalString(body, "base_model") ?? service.options.modelName;
  return creation(service, session.id, body, async (id) => {
    service.checkBaseModel(baseModel);
    const lora = service.checkpoint(path).lora ?? null;
    const userMetadata = optionalObject(body, "user_metadata") ?? {};
    const model = await service.createModel({ id, sessionId: session.id, baseModel, userMetadata, lora }, hashSeed(id));
    try {
      await load(service, model, path, body.optimizer === true);
    } catch (error) {
      await service.unload(model);
      throw error;
    }
    return json({ model_id: id, path, type: "load_weights" });
  });
}

/** The id comes from the session's counter: a repetition names the same model. */
function creation(
  service: TinkerService,
  sessionId: string,
  body: JsonObject,
  create: (id: string) => Promise<Result>,
): Job {
  const id = `${sessionId}:train:${readInteger(body, "model_seq_id")}`;
  const work = async () => {
    if (service.models.has(id)) throw new BadRequest(`model ${id} exists`);
    return create(id);
  };
  return { key: `create ${id}`, start: () => ({ work, facts: { model_id: id } }) };
}

function loadJob(service: TinkerService, body: JsonObject): Job {
  const model = service.model(readString(body, "model_id"));
  const path = readString(body, "path");
  return trainingJob(model, optionalInteger(body, "seq_id"), async () => {
    if (model.done > 0) throw new BadRequest("load_weights must be the first request of a model; create another one");
    await load(service, model, path, body.optimizer === true);
    return json({ model_id: model.facts.id, path, type: "load_weights" });
  });
}

async function load(service: TinkerService, model: TrainingModel, path: string, optimizer: boolean): Promise<void> {
  const record = service.checkpoint(path);
  const [saved, trained] = [describeShape(record.lora ?? null), describeShape(model.facts.lora)];
  if (saved !== trained)
    throw new BadRequest(
      `${path} holds ${saved}, but ${model.facts.id} trains ${trained}; ${howToLoad(service, record)}`,
    );
  if (!optimizer) {
    const former = model.loaded;
    model.loaded = await service.host.createTraining(service.weightsOf(record));
    await service.host.release(former);
    return;
  }
  if (record.kind !== "weights")
    throw new BadRequest(`${path} was saved for sampling and has no optimizer state; load it with optimizer: false`);
  await model.loaded.run(async () => {
    await model.loaded.model.loadState(service.store.stateDirectory(record));
    model.loaded.weights = record.weights;
  });
}

/** How to make a model that a checkpoint fits. */
function howToLoad({ options }: TinkerService, { lora }: CheckpointRecord): string {
  if (lora === undefined) return "a model with lora_config.rank 0 fits it";
  if (options.fineTuning === "full") return "this server was started with --full: one without it has adapters";
  const { rank, trainAttn, trainMlp } = lora;
  return `a model with lora_config rank ${rank}, train_attn ${trainAttn}, train_mlp ${trainMlp} fits it`;
}

function stepJob(service: TinkerService, body: JsonObject): Job {
  const model = service.model(readString(body, "model_id"));
  return trainingJob(model, optionalInteger(body, "seq_id"), async () => {
    const other = body.optimizer_params ?? body.optim_params;
    if (other !== undefined && other !== null) throw new BadRequest("only adam_params are supported");
    let adam: ReturnType<typeof adamParamsFromJson>;
    try {
      adam = adamParamsFromJson(body.adam_params ?? {});
    } catch (error) {
      throw new BadRequest((error as Error).message);
    }
    return json({ metrics: await model.step(adam), type: "optim_step" });
  });
}

function saveJob(service: TinkerService, body: JsonObject): Job {
  const model = service.model(readString(body, "model_id"));
  const name = readString(body, "path");
  return trainingJob(model, optionalInteger(body, "seq_id"), async () => {
    const path = await save(service, model, { kind: "weights", name }, body.overwrite === true);
    return json({ path, type: "save_weights" });
  });
}

function saveForSamplerJob(service: TinkerService, body: JsonObject): Job {
  const model = service.model(readString(body, "model_id"));
  const { id, sessionId } = model.facts;
  const seqId = optionalInteger(body, "seq_id");
  const named = optionalString(body, "path");
  const type = "save_weights_for_sampler";
  if (named !== undefined) {
    return trainingJob(model, seqId, async () => {
      const path = await save(service, model, { kind: "sampler_weights", name: named }, body.overwrite === true);
      return json({ path, sampling_session_id: null, type });
    });
  }
  const samplingSeqId = readInteger(body, "sampling_session_seq_id");
  return trainingJob(model, seqId, async () => {
    const ephemeral = { kind: "sampler_weights", name: `ephemeral-${samplingSeqId}`, ephemeral: true } as const;
    const modelPath = await save(service, model, ephemeral, true);
    await service.store.trimEphemeral(EPHEMERAL_KEPT, id);
    const samplingId = samplingSessionId(sessionId, samplingSeqId);
    service.addSamplingSession({ id: samplingId, sessionId, modelPath });
    return json({ path: null, sampling_session_id: samplingId, type });
  });
}

export function samplingSessionId(sessionId: string, seqId: number): string {
  return `${sessionId}:sample:${seqId}`;
}

async function save(
  service: TinkerService,
  model: TrainingModel,
  target: { readonly kind: "weights" | "sampler_weights"; readonly name: string; readonly ephemeral?: boolean },
  overwrite: boolean,
): Promise<string> {
  const { id: runId, baseModel, userMetadata, lora } = model.facts;
  const { loaded } = model;
  const facts = { runId, baseModel, userMetadata, weights: loaded.weights };
  const checkpoint = { ...target, ...facts, ...(lora === null ? {} : { lora }) };
  const state = target.kind === "weights";
  const record = await loaded.run(() => service.store.save(loaded.model, checkpoint, { state, overwrite }));
  return `tinker://${runId}/${record.kind}/${record.name}`;
}

function sampleJob(service: TinkerService, body: JsonObject): Job {
  const { info } = service.host;
  const params = optionalObject(body, "sampling_params") ?? {};
  for (const key of ["topk_prompt_logprobs", "topk_sample_logprobs", "prompt_alt_tokens_k"])
    if (body[key]) throw new BadRequest(`${key} is not supported`);
  if (body.target_prompt_logprobs) throw new BadRequest("target_prompt_logprobs is not supported");
  let request: ReturnType<typeof sampleRequestFromJson>;
  let prompt: number[];
  try {
    // Without a limit a response may fill the context.
    request = sampleRequestFromJson({ ...body, sampling_params: { ...params, max_tokens: params.max_tokens ?? -1 } });
    prompt = inputTokens(request.prompt);
  } catch (error) {
    throw new BadRequest((error as Error).message);
  }
  if (prompt.length === 0) throw new BadRequest("prompt is empty");
  const given = request.samplingParams.maxTokens;
  const maxTokens = given < 0 ? info.contextLength - prompt.length : given;
  checkTokens(prompt, "prompt", info, maxTokens);
  const { target, numSamples } = request;
  if (!(numSamples >= 1 && numSamples <= 1024)) throw new BadRequest("num_samples must be 1 to 1024");
  let modelPath: string | undefined;
  if ("samplingSessionId" in target) modelPath = service.samplingSession(target.samplingSessionId).modelPath;
  else if ("modelPath" in target) modelPath = target.modelPath;
  else service.checkBaseModel(target.baseModel);
  const weights = service.weights(modelPath);
  const key = "samplingSessionId" in target ? `${target.samplingSessionId} seq_id ${target.seqId}` : undefined;
  const seed = request.samplingParams.seed ?? hashSeed(key ?? `${Math.random()}`);
  const scoreFrom =
    body.prompt_logprobs === true
      ? prompt.length - (optionalInteger(body, "prompt_logprobs_last_n") ?? prompt.length)
      : null;
  const sequenceIds = Array.from({ length: numSamples }, (_, i) => `${key ?? "sample"}/${i}`);
  const work = async (signal: AbortSignal): Promise<Result> => {
    const [drawn, scored] = await Promise.all([
      draw(service, weights, { prompt, count: numSamples, maxTokens, seed, params: request.samplingParams }, signal),
      scoreFrom === null ? undefined : service.host.promptLogprobs(weights, prompt),
    ]);
    const sequences = drawn.map((sequence, i) => ({ ...sequence, sequenceId: sequenceIds[i]! }));
    if (scored === undefined || scoreFrom === null) return { kind: "samples", response: { sequences } };
    const promptLogprobs = [null, ...scored].map((value, i) => (i < scoreFrom ? null : value));
    return { kind: "samples", response: { sequences, promptLogprobs } };
  };
  return { key, start: () => ({ work, facts: { sample_sequence_ids: sequenceIds } }) };
}

interface Draw {
  readonly prompt: readonly number[];
  readonly count: number;
  readonly maxTokens: number;
  readonly seed: number;
  readonly params: SamplingParams;
}

async function draw(
  service: TinkerService,
  weights: Weights,
  { prompt, count, maxTokens, seed, params }: Draw,
  signal: AbortSignal,
): Promise<SampleResponse["sequences"]> {
  if (maxTokens === 0) {
    const empty = { stopReason: "length" as const, tokens: new Int32Array(0), logprobs: new Float32Array(0) };
    return Array.from({ length: count }, () => empty);
  }
  const { temperature = 1, topK = -1, topP = 1, stop = [] } = params;
  if (!(temperature >= 0) || !(topP > 0 && topP <= 1))
    throw new BadRequest("sampling_params: temperature must be at least 0, top_p in (0, 1]");
  const shared = { prompt, maxTokens, temperature, topK: Math.max(0, topK), topP };
  const strings = stop.filter((item) => typeof item === "string");
  const ids = stop.filter((item) => typeof item === "number");
  if (strings.length > 0) {
    const { codec } = service;
    if (codec === null) throw new BadRequest("stop strings need a tokenizer; this server has none: give token ids");
    const stopTokens = service.host.info.eosTokenIds;
    const one = (i: number) =>
      generateText(
        service.host,
        weights,
        codec,
        { ...shared, stopTokens, stopStrings: strings, seed: pieceSeed(seed, i << 12) },
        { signal },
      );
    const texts = await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
    return texts.map(({ stopReason, tokens, logprobs }) => ({
      stopReason,
      tokens: Int32Array.from(tokens),
      logprobs: Float32Array.from(logprobs),
    }));
  }
  const stopTokens = params.stop === undefined ? service.host.info.eosTokenIds : ids;
  const sequences = await service.host.sample(weights, { ...shared, count, stopTokens, seed }, signal);
  return sequences.map(({ stopReason, tokens, logprobs }) => ({
    stopReason,
    tokens: Int32Array.from(tokens),
    logprobs,
  }));
}

function hashSeed(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32LE(0);
}

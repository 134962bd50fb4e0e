import {
  adamParamsFromJson,
  decodeForwardBackwardRequest,
  forwardBackwardRequestFromJson,
  sampleRequestFromJson,
} from "../codec/index.js";
import { asObject, asString, optional } from "../codec/json.js";
import { formatCheckpointPath, parseCheckpointPath } from "../protocol/paths.js";
import { float32Tensor, inputTokens } from "../protocol/tensors.js";
import type { Datum, ForwardBackwardRequest, LossFnOutput } from "../protocol/training.js";
import { BigramModel, copyState } from "./bigram-model.js";
import {
  type Checkpoint,
  type Executed,
  type Job,
  Refusal,
  refuse,
  type ServedModel,
  type ServerBehaviour,
} from "./test-engine-types.js";
import { answerListing } from "./test-listings.js";

const TRAINING_ROUTES = new Set([
  "forward",
  "forward_backward",
  "optim_step",
  "save_weights",
  "save_weights_for_sampler",
  "load_weights",
]);

/** The state and arithmetic behind {@link TestServer}; knows nothing of HTTP. */
export class TestEngine {
  readonly sessions = new Map<string, { heartbeats: number }>();
  readonly models = new Map<string, ServedModel>();
  readonly checkpoints = new Map<string, Checkpoint>();
  /** Optimizer steps applied over all models, the count that faults must not change. */
  stepsApplied = 0;
  readonly gradNorms: number[] = [];
  private readonly samplingSessions = new Map<string, { readonly baseModel?: string; readonly modelPath?: string }>();
  private readonly createdModels = new Map<string, string>();
  /** SkyRL-JAX: unapplied gradients that an unloaded model left in its slot. */
  private readonly leftovers = new Map<number, { readonly gradient: Float64Array; readonly datums: number }>();
  private counter = 0;
  private epoch = 0;

  constructor(readonly behaviour: ServerBehaviour) {}

  forgetEverything(): void {
    this.epoch++;
    for (const map of [
      this.sessions,
      this.models,
      this.checkpoints,
      this.samplingSessions,
      this.createdModels,
      this.leftovers,
    ])
      map.clear();
  }

  /** Whether a repetition of a request on this route is recognised. */
  recognises(path: string): boolean {
    if (this.behaviour.dialect === "hosted") return true;
    return this.behaviour.idempotent && (path === "forward" || path === "forward_backward" || path === "optim_step");
  }

  resultOf(key: string): Executed | undefined {
    const [modelId, seq] = key.split("#");
    return this.models.get(modelId!)?.results.get(Number(seq));
  }

  /** Routes that answer at once; undefined for the ones that give a promise. */
  immediate(
    method: string,
    path: string,
    json: unknown,
  ): { readonly status?: number; readonly body?: unknown; readonly location?: string } | undefined {
    const body = json === undefined ? {} : asObject(json, "body");
    switch (path) {
      case "healthz":
        return { body: { status: "ok" } };
      case "get_server_capabilities":
        return { body: { supported_models: [{ model_name: "bigram", max_context_length: 4096 }] } };
      case "create_session": {
        const id = `session-${this.epoch}-${++this.counter}`;
        this.sessions.set(id, { heartbeats: 0 });
        return { body: { type: "create_session", session_id: id, info_message: "welcome" } };
      }
      case "session_heartbeat": {
        this.session(asString(body.session_id, "session_id")).heartbeats++;
        return { body: { type: "session_heartbeat" } };
      }
      case "create_sampling_session": {
        this.session(asString(body.session_id, "session_id"));
        const baseModel = optional(body.base_model, "base_model", asString);
        const modelPath = optional(body.model_path, "model_path", asString);
        return {
          body: {
            sampling_session_id: this.samplingSession({
              ...(baseModel === undefined ? {} : { baseModel }),
              ...(modelPath === undefined ? {} : { modelPath }),
            }),
          },
        };
      }
      case "get_info": {
        const model = this.model(asString(body.model_id, "model_id"));
        return {
          body: {
            type: "get_info",
            model_data: { arch: "bigram", model_name: "bigram", tokenizer_id: "bigram:v1" },
            is_lora: true,
            lora_rank: model.rank,
            model_name: "bigram",
          },
        };
      }
      case "weights_info": {
        const { runId, kind, name } = parseCheckpointPath(asString(body.tinker_path, "tinker_path"));
        const checkpoint = this.checkpoint(runId, kind, name);
        return {
          body: { base_model: "bigram", is_lora: true, lora_rank: this.models.get(checkpoint.runId)?.rank ?? 8 },
        };
      }
      case "client/dynamic_config":
        if (this.behaviour.dialect !== "hosted") throw new Refusal(404, "Not Found");
        return { body: { refresh_interval_sec: 300 } };
    }
    return answerListing(this, method, path);
  }

  /** Routes that give a promise. `body` is JSON, or the bytes of a protobuf request. */
  background(path: string, body: unknown): Job {
    if (path === "forward" || path === "forward_backward") {
      const request =
        body instanceof Uint8Array ? decodeForwardBackwardRequest(body) : forwardBackwardRequestFromJson(body);
      return this.trainingJob(path, request.modelId, request.seqId, (model) => this.pass(model, request));
    }
    const json = asObject(body, "body");
    const seqId = typeof json.seq_id === "number" ? json.seq_id : undefined;
    switch (path) {
      case "create_model":
        return this.createModel(json);
      case "unload_model": {
        const model = this.model(asString(json.model_id, "model_id"));
        return { modelId: model.id, run: () => this.unload(model) };
      }
      case "asample":
        return this.sampleJob(json);
      case "optim_step":
        return this.trainingJob(path, asString(json.model_id, "model_id"), seqId, (model) => {
          const adam = adamParamsFromJson(json.adam_params);
          const norm = model.model.step(
            this.behaviour.dialect === "hosted" ? adam : { ...adam, gradClipNorm: 0 },
            this.reduction(),
          );
          this.stepsApplied++;
          this.gradNorms.push(norm);
          return {
            kind: "json",
            value: {
              metrics:
                this.behaviour.dialect === "hosted" ? { "grad_norm:mean": norm } : { "skyrl.ai/grad_norm": norm },
            },
          };
        });
      case "save_weights":
      case "save_weights_for_sampler":
        return this.saveJob(path, json, seqId);
      case "load_weights": {
        const { runId, kind, name } = parseCheckpointPath(asString(json.path, "path"));
        const saved = this.checkpoint(runId, kind, name).state!;
        const target = this.model(asString(json.model_id, "model_id"));
        if (
          target.touched &&
          (target.nextSeq > 1 || target.results.size > 0) &&
          target.results.get(seqId ?? -1) === undefined
        ) {
          throw new Refusal(400, "load_weights must be the first request");
        }
        return this.trainingJob(path, target.id, seqId, (model) => {
          const fresh = new BigramModel(this.behaviour.vocabulary).state;
          model.model.state =
            json.optimizer === false ? { ...fresh, weights: saved.weights.slice() } : copyState(saved);
          return { kind: "json", value: { path: json.path, type: "load_weights" } };
        });
      }
      default:
        throw new Refusal(404, "Not Found");
    }
  }

  private trainingJob(
    path: string,
    modelId: string,
    seqId: number | undefined,
    work: (model: ServedModel) => Executed,
    admit?: () => void,
  ): Job {
    const model = this.model(modelId);
    if (!TRAINING_ROUTES.has(path)) throw new Refusal(404, "Not Found");
    const seq = seqId ?? model.nextSeq;
    const execute = (): Executed => {
      if (this.models.get(model.id) !== model) throw new Refusal(404, "model is gone");
      model.touched = true;
      const result = work(model);
      model.results.set(seq, result);
      return result;
    };
    const run = async (): Promise<Executed> => {
      // The hosted service runs by sequence id and waits for gaps; SkyRL runs in order of arrival.
      if (this.behaviour.dialect === "hosted" && seq > model.nextSeq) {
        await new Promise<void>((resolve) => model.waiting.set(seq, resolve));
      }
      try {
        return execute();
      } finally {
        model.nextSeq = Math.max(model.nextSeq, seq + 1);
        model.waiting.get(model.nextSeq)?.();
      }
    };
    return { modelId, key: `${modelId}#${seq}`, run, ...(admit === undefined ? {} : { admit }) };
  }

  private pass(model: ServedModel, request: ForwardBackwardRequest): Executed {
    const { dialect } = this.behaviour;
    let total = 0;
    const lossFnOutputs = request.data.map((datum): LossFnOutput => {
      const prepared = dialect === "hosted" ? datum : withDefaults(datum, request.lossFn);
      const { logprobs, losses } = model.model.pass(
        prepared,
        request.lossFn,
        request.lossFnConfig,
        request.forwardOnly ? undefined : this.reduction(),
      );
      for (const loss of losses) total += loss;
      const elementwise = dialect === "skyrl-jax" || (dialect === "hosted" && request.lossFn === "cross_entropy");
      return {
        logprobs: float32Tensor(logprobs),
        ...(elementwise ? { elementwise_loss: float32Tensor(Float32Array.from(losses)) } : {}),
      };
    });
    const metrics: Record<string, number> =
      dialect === "hosted" ? { "loss:sum": total } : dialect === "skyrl-train" ? { "total_loss:sum": total } : {};
    return { kind: "training", output: { lossFnOutputType: "scalar", lossFnOutputs, metrics } };
  }

  private createModel(json: Readonly<Record<string, unknown>>): Job {
    const sessionId = asString(json.session_id, "session_id");
    this.session(sessionId);
    const hosted = this.behaviour.dialect === "hosted";
    const rank = Number((json.lora_config as { rank?: unknown } | undefined)?.rank ?? 32);
    if (rank === 0 && this.behaviour.dialect !== "skyrl-train") throw new Refusal(400, "rank must be positive");
    // The service derives the id from the session's counter, so that a repetition names the same model.
    const key = `${sessionId}:train:${String(json.model_seq_id)}`;
    const id = hosted ? key : `model_${(++this.counter).toString(16).padStart(8, "0")}`;
    const run = (): Executed => {
      if (!this.createdModels.has(id)) {
        this.createdModels.set(id, id);
        const slot = firstFree([...this.models.values()].map((model) => model.slot));
        const model = new BigramModel(this.behaviour.vocabulary);
        const left = this.leftovers.get(slot);
        if (left !== undefined && this.behaviour.dialect === "skyrl-jax") {
          model.gradient = left.gradient.slice();
          model.accumulatedDatums = left.datums;
        }
        this.models.set(id, {
          id,
          sessionId,
          slot,
          rank,
          model,
          nextSeq: 1,
          results: new Map(),
          waiting: new Map(),
          touched: false,
          loaded: undefined,
          synchronised: undefined,
        });
      }
      return { kind: "json", value: { model_id: id, type: "create_model" } };
    };
    return { modelId: id, run, ...(hosted ? { key: `create#${key}` } : {}) };
  }

  private unload(model: ServedModel): Executed {
    this.leftovers.set(model.slot, { gradient: model.model.gradient, datums: model.model.accumulatedDatums });
    this.models.delete(model.id);
    return { kind: "json", value: { model_id: model.id, type: "unload_model" } };
  }

  private saveJob(path: string, json: Readonly<Record<string, unknown>>, seqId: number | undefined): Job {
    const runId = asString(json.model_id, "model_id");
    const kind = path === "save_weights" ? "weights" : "sampler_weights";
    const named = optional(json.path, "path", asString);
    const name = named ?? `ss${String(json.sampling_session_seq_id)}_seq${String(seqId)}`;
    const key = `${runId}/${kind}/${name}`;
    const admit = (): void => {
      if (this.checkpoints.has(key) && json.overwrite !== true)
        throw new Refusal(409, `Checkpoint '${name}' already exists`);
      this.checkpoints.set(key, { runId, kind, name, state: undefined });
    };
    const work = (model: ServedModel): Executed => {
      this.checkpoints.get(key)!.state = copyState(model.model.state);
      model.synchronised = model.model.state.weights.slice();
      const path = formatCheckpointPath({ runId, kind, name });
      if (kind === "weights") return { kind: "json", value: { path, type: "save_weights" } };
      if (named === undefined) {
        return {
          kind: "json",
          value: {
            path: null,
            sampling_session_id: this.samplingSession({ modelPath: path }),
            type: "save_weights_for_sampler",
          },
        };
      }
      const shown = this.behaviour.dialect === "hosted" ? path : `tinker://${runId}/${name}`;
      return { kind: "json", value: { path: shown, type: "save_weights_for_sampler" } };
    };
    return this.trainingJob(path, runId, seqId, work, admit);
  }

  private sampleJob(json: Readonly<Record<string, unknown>>): Job {
    const request = sampleRequestFromJson(json);
    const target =
      "samplingSessionId" in request.target
        ? this.samplingSessions.get(request.target.samplingSessionId)
        : request.target;
    if (target === undefined) throw new Refusal(404, "Sampling session not found");
    const path =
      "modelPath" in target && target.modelPath !== undefined ? parseCheckpointPath(target.modelPath) : undefined;
    if (path !== undefined) this.checkpoint(path.runId, path.kind, path.name);
    const seqId = "samplingSessionId" in request.target ? request.target.seqId : ++this.counter;
    const sessionId = "samplingSessionId" in request.target ? request.target.samplingSessionId : "direct";
    const run = (): Executed => {
      const prompt = inputTokens(request.prompt);
      const { model, weights } = this.samplerWeights(path);
      const seed = request.samplingParams.seed ?? seqId * 7919 + 13;
      const scaled = this.behaviour.dialect !== "skyrl-jax";
      const sequences = Array.from({ length: request.numSamples }, (_, i) =>
        model.sample(prompt, request.samplingParams, seed + i, weights, scaled),
      );
      const scored = [...model.logprobs(prompt, prompt.slice(1), weights)];
      const promptLogprobs = this.behaviour.dialect === "skyrl-jax" ? scored : [null, ...scored];
      return { kind: "samples", response: { sequences, ...(request.promptLogprobs ? { promptLogprobs } : {}) } };
    };
    return {
      modelId: path?.runId ?? "",
      run,
      sequenceIds: Array.from({ length: request.numSamples }, (_, i) => `${sessionId}/${seqId}/${i}`),
      ...(this.behaviour.dialect === "hosted" ? { key: `${sessionId}#${seqId}` } : {}),
    };
  }

  /** The weights that a server of this dialect really samples, with SkyRL's side effects. */
  private samplerWeights(
    path: { readonly runId: string; readonly kind: "weights" | "sampler_weights"; readonly name: string } | undefined,
  ): { model: BigramModel; weights: Float64Array } {
    const fresh = new BigramModel(this.behaviour.vocabulary);
    if (path === undefined) return { model: fresh, weights: fresh.state.weights };
    const saved = this.checkpoint(path.runId, path.kind, path.name).state!.weights;
    const live = this.models.get(path.runId);
    if (live === undefined || this.behaviour.dialect === "hosted") return { model: fresh, weights: saved };
    if (this.behaviour.dialect === "skyrl-train") return { model: fresh, weights: live.synchronised ?? saved };
    if (live.loaded !== path.name) {
      live.loaded = path.name;
      live.model.state.weights = saved.slice();
    }
    return { model: fresh, weights: live.model.state.weights };
  }

  private samplingSession(target: { readonly baseModel?: string; readonly modelPath?: string }): string {
    const id = `sampling-${this.epoch}-${++this.counter}`;
    this.samplingSessions.set(id, target);
    return id;
  }

  private reduction(): "sum" | "datum-mean" {
    return this.behaviour.dialect === "skyrl-jax" ? "datum-mean" : "sum";
  }

  private session(id: string): { heartbeats: number } {
    return this.sessions.get(id) ?? refuse(404, "Session not found");
  }

  model(id: string): ServedModel {
    return this.models.get(id) ?? refuse(404, `Model ${id} not found`);
  }

  private checkpoint(runId: string, kind: string, name: string): Checkpoint {
    const found =
      this.checkpoints.get(`${runId}/${kind}/${name}`) ?? refuse(404, `Checkpoint not found: ${runId}/${name}`);
    return found.state === undefined ? refuse(425, "Checkpoint is still being created") : found;
  }
}

/** SkyRL fills in what is missing: weights 1, and it lets weights multiply every loss; only the defaults matter here. */
function withDefaults(datum: Datum, lossFn: string): Datum {
  if (lossFn !== "cross_entropy" || datum.lossFnInputs.weights !== undefined) return datum;
  const length = datum.lossFnInputs.target_tokens!.data.length;
  return {
    modelInput: datum.modelInput,
    lossFnInputs: { ...datum.lossFnInputs, weights: float32Tensor(new Float32Array(length).fill(1)) },
  };
}

function firstFree(used: readonly number[]): number {
  let slot = 1;
  while (used.includes(slot)) slot++;
  return slot;
}

import { asArray, asObject, asString, type JsonObject } from "../codec/json.js";
import { adamParamsToJson, forwardBackwardRequestToJson } from "../codec/json-training.js";
import { backendFromForward } from "../dialect/detect.js";
import type { Dialect } from "../dialect/dialect.js";
import { InvalidArgumentError } from "../errors.js";
import { parseCheckpointPath } from "../protocol/paths.js";
import { float32Tensor, int64Tensor, textInput } from "../protocol/tensors.js";
import { type Datum, DEFAULT_ADAM } from "../protocol/training.js";
import type {
  CreateModelBody,
  CreateSamplingSessionBody,
  LoraConfigBody,
  WeightsInfoAnswer,
} from "../protocol/wire.js";
import type { ServiceClientOptions } from "./config.js";
import { type Connection, openSession } from "./connect.js";
import { RestClient } from "./rest-client.js";
import { SamplingClient } from "./sampling-client.js";
import { joinSignals, type Session } from "./session.js";
import { TrainingClient } from "./training-client.js";
import { jsonResult, readForwardBackwardOutput, retrieveResult, submitPromise } from "./training-requests.js";

/** Full fine-tuning is rank 0; a server that tells no rank gets the default. */
function savedRank({ is_lora: isLora, lora_rank: rank }: WeightsInfoAnswer): { readonly loraRank?: number } {
  if (rank !== undefined && rank !== null) return { loraRank: rank };
  return isLora === false ? { loraRank: 0 } : {};
}

/** The smallest datum there is. */
const PROBE: Datum = {
  modelInput: textInput([1]),
  lossFnInputs: { target_tokens: int64Tensor([1]), weights: float32Tensor([0]) },
};

export interface CreateModelOptions {
  readonly baseModel: string;
  /** LoRA rank; 0 is full fine-tuning where the server has it. */
  readonly loraRank?: number;
  readonly seed?: number;
  readonly trainUnembed?: boolean;
  readonly trainMlp?: boolean;
  readonly trainAttn?: boolean;
  readonly userMetadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface ServerCapabilities {
  readonly supportedModels: readonly { readonly name: string; readonly maxContextLength?: number }[];
}

/** A session with a Tinker server: makes the clients that train and sample. Close it when done. */
export class ServiceClient {
  readonly rest: RestClient;
  private readonly session: Session;

  private constructor(private readonly connection: Connection) {
    this.session = connection.session;
    this.rest = new RestClient(connection.session);
  }

  /** Reads the server's settings, opens a session and starts its heartbeat. */
  static async connect(options: ServiceClientOptions = {}): Promise<ServiceClient> {
    const connection = await openSession(options);
    const client = new ServiceClient(connection);
    options.signal?.addEventListener("abort", () => void client.close(), { once: true });
    return client;
  }

  get sessionId(): string {
    return this.session.id;
  }

  /** The server's dialect as configured or found out so far; a SkyRL back end is only known once a model was created. */
  get dialect(): Dialect {
    return this.session.dialect();
  }

  /** Successful heartbeats so far and the time of the last one (milliseconds since 1970). */
  get heartbeats(): { readonly count: number; readonly lastSuccessMs: number } {
    return { count: this.connection.heartbeat.count, lastSuccessMs: this.connection.heartbeat.lastSuccessMs };
  }

  async getCapabilities(signal?: AbortSignal): Promise<ServerCapabilities> {
    const answer = asObject(
      await this.call("get_server_capabilities", undefined, signal),
      "get_server_capabilities answer",
    );
    const models = asArray(answer.supported_models, "supported_models").map((item) => {
      const model = asObject(item, "supported_models");
      const length = model.max_context_length;
      return {
        name: asString(model.model_name, "model_name"),
        ...(typeof length === "number" ? { maxContextLength: length } : {}),
      };
    });
    return { supportedModels: models };
  }

  /** Whether the server answers at all. On SkyRL that may be before its engine has loaded the model. */
  async health(signal?: AbortSignal): Promise<string> {
    return asString(asObject(await this.call("healthz", undefined, signal), "healthz answer").status, "status");
  }

  /** Creates a model with fresh adapters (or, with rank 0 where the server can, for full fine-tuning). */
  async createTrainingClient(options: CreateModelOptions): Promise<TrainingClient> {
    const rank = options.loraRank ?? 32;
    if (!Number.isSafeInteger(rank) || rank < 0)
      throw new InvalidArgumentError(`loraRank is ${rank}, an integer of at least 0 is needed`);
    await this.sendScout(options);
    return new TrainingClient(this.session, await this.createModel(options));
  }

  /** Creates a model from a saved state, to go on training it. `optimizer` false leaves the optimizer fresh. */
  async createTrainingClientFromState(
    path: string,
    options: Omit<CreateModelOptions, "baseModel" | "loraRank"> & {
      readonly optimizer?: boolean;
      readonly accessToken?: string;
    } = {},
  ): Promise<TrainingClient> {
    const info = await this.rest.weightsInfo(path, options.signal);
    const limits = {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    };
    if (this.session.config.createModelViaLoadWeights) {
      const modelId = await this.background(
        "load_weights",
        "LoadWeights",
        {
          session_id: this.session.id,
          model_seq_id: this.session.nextModelSeqId(),
          path,
          optimizer: options.optimizer ?? true,
          base_model: info.base_model,
          type: "load_weights",
          ...(options.userMetadata === undefined ? {} : { user_metadata: options.userMetadata }),
        },
        limits,
      );
      return new TrainingClient(this.session, asString(modelId.model_id, "load_weights result: model_id"));
    }
    const client = await this.createTrainingClient({
      baseModel: info.base_model,
      ...savedRank(info),
      ...(info.train_mlp === undefined || info.train_mlp === null ? {} : { trainMlp: info.train_mlp }),
      ...(info.train_attn === undefined || info.train_attn === null ? {} : { trainAttn: info.train_attn }),
      ...(info.train_unembed === undefined || info.train_unembed === null ? {} : { trainUnembed: info.train_unembed }),
      ...options,
    });
    await client.loadState(path, {
      ...limits,
      optimizer: options.optimizer ?? true,
      ...(options.accessToken === undefined ? {} : { accessToken: options.accessToken }),
    });
    return client;
  }

  /** A sampler of the base model or of saved sampler weights. */
  async createSamplingClient(
    target: { readonly baseModel: string } | { readonly modelPath: string },
    signal?: AbortSignal,
  ): Promise<SamplingClient> {
    const body: CreateSamplingSessionBody = {
      session_id: this.session.id,
      sampling_session_seq_id: this.session.nextSamplingSessionSeqId(),
      type: "create_sampling_session",
      ...("baseModel" in target ? { base_model: target.baseModel } : { model_path: target.modelPath }),
    };
    const answer = asObject(await this.call("create_sampling_session", body, signal), "create_sampling_session answer");
    const id = asString(answer.sampling_session_id, "sampling_session_id");
    if ("baseModel" in target) return new SamplingClient(this.session, id);
    const { runId, name } = parseCheckpointPath(target.modelPath);
    return new SamplingClient(this.session, id, this.session.guard.find(runId, name));
  }

  /** Ends the heartbeat and everything under way. Models of the session are left to the server's clean-up: unload them before. */
  async close(): Promise<void> {
    await this.connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async createModel(options: CreateModelOptions): Promise<string> {
    const lora: LoraConfigBody = {
      rank: options.loraRank ?? 32,
      train_unembed: options.trainUnembed ?? true,
      train_mlp: options.trainMlp ?? true,
      train_attn: options.trainAttn ?? true,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    };
    const body: CreateModelBody = {
      session_id: this.session.id,
      model_seq_id: this.session.nextModelSeqId(),
      base_model: options.baseModel,
      lora_config: lora,
      type: "create_model",
      ...(options.userMetadata === undefined ? {} : { user_metadata: options.userMetadata }),
    };
    const answer = await this.background("create_model", "CreateModel", body, options);
    return asString(answer.model_id, "create_model result: model_id");
  }

  /**
   * Where needed, creates a model that is given up again: a forward pass of one token tells SkyRL's back ends apart, and
   * on SkyRL-JAX a step empties the slot of gradients that an earlier model left, which the next model would inherit. Not
   * done on the model itself: the step would start Adam's bias correction, and a state can only be loaded by a first request.
   */
  private async sendScout(options: CreateModelOptions): Promise<void> {
    const { connection } = this;
    const clears = (): boolean => this.session.dialect().leavesGradients && connection.clearLeftoverGradients;
    if (connection.dialectSettled && !clears()) return;
    const modelId = await this.createModel(options);
    if (!connection.dialectSettled) {
      const json = forwardBackwardRequestToJson({
        modelId,
        seqId: 1,
        data: [PROBE],
        lossFn: "cross_entropy",
        forwardOnly: true,
      });
      const submitted = await submitPromise(this.session, "forward", { json }, true);
      const output = await retrieveResult(
        this.session,
        "Forward",
        submitted,
        (payload) => readForwardBackwardOutput(payload, 1),
        this.wait(options),
      );
      connection.settleDialect(backendFromForward(output));
    }
    if (clears()) {
      const adam = adamParamsToJson({ ...DEFAULT_ADAM, learningRate: 0 });
      await this.background(
        "optim_step",
        "OptimStep",
        { model_id: modelId, seq_id: 2, adam_params: adam, type: "optim_step" },
        options,
      );
    }
    await this.background("unload_model", "UnloadModel", { model_id: modelId, type: "unload_model" }, options);
  }

  private async background(
    path: string,
    type: "CreateModel" | "OptimStep" | "UnloadModel" | "LoadWeights",
    json: unknown,
    limits: { readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<JsonObject> {
    const submitted = await submitPromise(this.session, path, { json }, true);
    return retrieveResult(
      this.session,
      type,
      submitted,
      (payload) => asObject(jsonResult(payload), `${path} result`),
      this.wait(limits),
    );
  }

  private wait(limits: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): {
    signal: AbortSignal;
    timeoutMs?: number;
  } {
    return {
      signal: joinSignals(this.session, limits.signal),
      ...(limits.timeoutMs === undefined ? {} : { timeoutMs: limits.timeoutMs }),
    };
  }

  private call(path: string, json: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return this.session.transport.submitJson(path, {
      signal: joinSignals(this.session, signal),
      ...(json === undefined ? { method: "GET" } : { json }),
    });
  }
}

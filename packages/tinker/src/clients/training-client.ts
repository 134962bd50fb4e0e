import { asMetrics, asObject } from "../codec/json.js";
import { adamParamsToJson } from "../codec/json-training.js";
import { type LossCall, linearCall, restoreOutput, rewriteLoss, serverComputes } from "../dialect/loss-rewrite.js";
import { tokenLosses } from "../dialect/token-losses.js";
import { DialectError, InvalidArgumentError } from "../errors.js";
import { type ApiFuture, apiFuture } from "../futures/api-future.js";
import type { RequestType } from "../futures/future-poller.js";
import { float32Tensor } from "../protocol/tensors.js";
import type { AdamParams, Datum, ForwardBackwardOutput, LossFn, OptimStepOutput } from "../protocol/training.js";
import { DEFAULT_ADAM } from "../protocol/training.js";
import type { GetInfoAnswer, LoadWeightsBody, OptimStepBody } from "../protocol/wire.js";
import { type CustomLoss, customGradients, customOutput } from "./custom-loss.js";
import { validateData } from "./datum-validation.js";
import { checkOptimizer } from "./optimizer-check.js";
import { PassSender, type WaitLimits } from "./pass-sender.js";
import { mapPending, type Pending, pending } from "./pending.js";
import { SamplingClient } from "./sampling-client.js";
import { type SavedWeights, saveState, saveWeightsForSampler } from "./saving.js";
import { checkOpen, joinSignals, type Session, unlessAborted } from "./session.js";
import { type RequestKind, SubmissionQueue, type Turn } from "./submission-queue.js";
import { jsonResult, retrieveResult, type Submitted, submitPromise } from "./training-requests.js";

export interface CallLimits {
  /** Ends the wait. A request that was already sent still takes effect on the server. */
  readonly signal?: AbortSignal;
  /** Longest wait for the result once the request was taken on. */
  readonly timeoutMs?: number;
}

export interface ForwardBackwardOptions extends CallLimits {
  readonly lossFnConfig?: Readonly<Record<string, number>>;
  /**
   * Datums of all forwardBackward calls of this optimizer step. Servers that average need it with the first call; it is
   * known without saying where all calls of the step are made before the first is awaited, and otherwise required if the
   * step has several calls. Elsewhere it has no effect.
   */
  readonly datumsInStep?: number;
}

export interface ModelInfo {
  readonly modelId: string;
  readonly baseModel: string;
  readonly tokenizerId: string;
  readonly loraRank: number | undefined;
}

/**
 * Trains one model. Calls may be made without awaiting the ones before: they reach the server in the order of the calls,
 * each as soon as the one before was taken on. The gradient of every loss is that of its sum over tokens and datums,
 * whatever the server's own convention.
 */
export class TrainingClient {
  private readonly queue: SubmissionQueue;
  private readonly passes: PassSender;
  /** Datums of the optimizer step under way, on servers that average over them. */
  private step: { readonly declared: number; sent: number } | undefined;

  constructor(
    private readonly session: Session,
    readonly modelId: string,
  ) {
    this.queue = new SubmissionQueue(() => modelId);
    this.passes = new PassSender(session, modelId);
    session.guard.register(modelId);
  }

  /** Logprobs of the targets (`lossFnOutputs[i].logprobs`, length N each) and the loss, without gradients. */
  forward(
    data: readonly Datum[],
    lossFn: LossFn = "cross_entropy",
    options: ForwardBackwardOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    validateData(data, lossFn);
    const call = lossCall(data, lossFn, options);
    return this.request("other", 0, options, async (turn) => {
      const sent = await this.passes.send(turn, forwardCall(call), true, this.wait(options));
      return mapPending(sent, (output) => restoreOutput(this.session.dialect(), call, output));
    });
  }

  /** Adds the gradient of the summed loss to the accumulator. */
  forwardBackward(
    data: readonly Datum[],
    lossFn: LossFn,
    options: ForwardBackwardOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    validateData(data, lossFn);
    if (!serverComputes(this.session.dialect(), lossFn)) {
      return this.customPass(data, options, (logprobs) => {
        const parts = logprobs.map((values, i) =>
          tokenLosses(lossFn, options.lossFnConfig, values, data[i]!.lossFnInputs),
        );
        const loss = parts.reduce((total, part) => total + part.losses.reduce((sum, value) => sum + value, 0), 0);
        return {
          loss,
          gradients: parts.map((part) => Float32Array.from(part.gradients)),
          metrics: { "loss:sum": loss },
        };
      });
    }
    const call = lossCall(data, lossFn, options);
    return this.request("gradient", data.length, options, async (turn) => {
      const dialect = this.session.dialect();
      const sent = await this.sendGradient(turn, data.length, options, (datums) => rewriteLoss(dialect, call, datums));
      return mapPending(sent, (output) => restoreOutput(dialect, call, output));
    });
  }

  /**
   * Adds the gradient of a loss that the caller computes from the logprobs: a forward pass, then one linear pass. Exact on
   * every dialect. Each datum needs `target_tokens` only.
   * @param loss gets the logprobs of every datum's targets; may depend on all of them together; gives ∂loss/∂logprob
   */
  forwardBackwardCustom(
    data: readonly Datum[],
    loss: CustomLoss,
    options: ForwardBackwardOptions = {},
  ): ApiFuture<ForwardBackwardOutput> {
    const weighted = data.map((datum): Datum => {
      const { target_tokens: targets, weights, ...others } = datum.lossFnInputs;
      const extra = Object.keys(others);
      if (extra.length > 0) {
        throw new InvalidArgumentError(
          `a custom loss takes target_tokens (and weights) as inputs, not ${extra.join(", ")}: keep them in the loss function`,
        );
      }
      const length = targets?.data.length ?? 0;
      return {
        modelInput: datum.modelInput,
        lossFnInputs: {
          ...(targets === undefined ? {} : { target_tokens: targets }),
          weights: weights ?? float32Tensor(new Float32Array(length)),
        },
      };
    });
    validateData(weighted, "cross_entropy");
    return this.customPass(weighted, options, (logprobs) => loss(logprobs, data));
  }

  private customPass(
    data: readonly Datum[],
    options: ForwardBackwardOptions,
    loss: CustomLoss,
  ): ApiFuture<ForwardBackwardOutput> {
    return this.request("gradient", data.length, options, async (turn) => {
      const dialect = this.session.dialect();
      const zeros = data.map((datum): Datum => {
        const targets = datum.lossFnInputs.target_tokens!;
        const weights = datum.lossFnInputs.weights ?? float32Tensor(new Float32Array(targets.data.length));
        return { modelInput: datum.modelInput, lossFnInputs: { target_tokens: targets, weights } };
      });
      const forward = await (
        await this.passes.send(turn, { data: zeros, lossFn: "cross_entropy" }, true, this.wait(options))
      ).result;
      const computed = await customGradients(data, forward, loss);
      const sent = await this.sendGradient(turn, data.length, options, (datums) =>
        linearCall(dialect, data, computed.gradients, datums),
      );
      return mapPending(sent, (output) => customOutput(output, computed));
    });
  }

  /** Applies the accumulated gradients with AdamW and clears them. Unnamed parameters take the service's defaults. */
  optimStep(params: Partial<AdamParams> = {}, limits: CallLimits = {}): ApiFuture<OptimStepOutput> {
    const adam: AdamParams = { ...DEFAULT_ADAM, ...params };
    checkOptimizer(this.session.dialect(), adam, this.session.serverOptimizer);
    return this.request("step", 0, limits, async (turn) => {
      if (this.step !== undefined && this.step.sent !== this.step.declared) {
        throw new DialectError(
          `${this.session.dialect().name} averages over the ${this.step.declared} datums announced for this step, but ${this.step.sent} were sent: send the rest before optimStep`,
        );
      }
      await this.session.guard.beforeStep(this.modelId);
      const submitted = await this.sendOne(
        turn,
        "optim_step",
        (seqId): OptimStepBody => ({
          model_id: this.modelId,
          seq_id: seqId,
          adam_params: adamParamsToJson(adam),
          type: "optim_step",
        }),
      );
      this.step = undefined;
      return this.result("OptimStep", submitted, limits, (value) => ({
        metrics: asMetrics(asObject(value, "optim_step result").metrics, "metrics"),
      }));
    });
  }

  /**
   * Saves weights and optimizer state under a name that is new for this model; gives the `tinker://` path to load.
   * Throws a ConflictError where the name exists already.
   */
  saveState(
    name: string,
    options: CallLimits & { readonly ttlSeconds?: number; readonly overwrite?: boolean } = {},
  ): ApiFuture<string> {
    return this.request("other", 0, options, (turn) => saveState(this.session, this.modelId, turn, name, options));
  }

  /** Saves weights for sampling under a name. On SkyRL-JAX every named save must be sampled before the next optimizer step. */
  saveWeightsForSampler(
    name: string,
    options: CallLimits & { readonly ttlSeconds?: number } = {},
  ): ApiFuture<SavedWeights> {
    return this.request("other", 0, options, (turn) =>
      saveWeightsForSampler(this.session, this.modelId, turn, name, options),
    );
  }

  /** Saves the current weights for sampling, without a lasting name, and gives the client that samples them. */
  saveWeightsAndGetSamplingClient(options: CallLimits = {}): ApiFuture<SamplingClient> {
    const saved = this.request("other", 0, options, (turn) =>
      saveWeightsForSampler(this.session, this.modelId, turn, undefined, options),
    );
    return apiFuture(
      saved.submitted,
      saved.then(({ samplingSessionId, version }) => {
        if (samplingSessionId === undefined)
          throw new DialectError("the server gave no sampling session for an unnamed save: give the save a name");
        return new SamplingClient(this.session, samplingSessionId, version);
      }),
    );
  }

  /** Loads a saved state; only as the model's first request. `optimizer` false leaves the optimizer fresh. */
  loadState(
    path: string,
    options: CallLimits & { readonly optimizer?: boolean; readonly accessToken?: string } = {},
  ): ApiFuture<void> {
    return this.request("other", 0, options, async (turn) => {
      const submitted = await this.sendOne(
        turn,
        "load_weights",
        (seqId): LoadWeightsBody => ({
          model_id: this.modelId,
          seq_id: seqId,
          path,
          optimizer: options.optimizer ?? true,
          type: "load_weights",
          ...(options.accessToken === undefined ? {} : { weights_access_token: options.accessToken }),
        }),
      );
      return this.result("LoadWeights", submitted, options, () => undefined);
    });
  }

  /** Frees the model on the server, after everything queued before. Further calls are refused. */
  unload(limits: CallLimits = {}): ApiFuture<void> {
    return this.request("other", 0, limits, async (turn) => {
      if (this.session.dialect().leavesGradients && this.step !== undefined) {
        // The slot's next model would inherit them. The model is given up anyway, so the step may spoil its moments.
        const flush = await this.sendOne(
          turn,
          "optim_step",
          (seqId): OptimStepBody => ({
            model_id: this.modelId,
            seq_id: seqId,
            adam_params: adamParamsToJson({ ...DEFAULT_ADAM, learningRate: 0 }),
            type: "optim_step",
          }),
        );
        await this.result("OptimStep", flush, limits, () => undefined).result;
      }
      const submitted = await submitPromise(
        this.session,
        "unload_model",
        { json: { model_id: this.modelId, type: "unload_model" } },
        true,
      );
      this.queue.break(new InvalidArgumentError(`model ${this.modelId} was unloaded`));
      this.session.guard.forget(this.modelId);
      return this.result("UnloadModel", submitted, limits, () => undefined);
    });
  }

  /** What the server says about the model. Does not wait for queued requests. */
  async getInfo(signal?: AbortSignal): Promise<ModelInfo> {
    checkOpen(this.session);
    const answer = await this.session.transport.submitJson("get_info", {
      json: { model_id: this.modelId, type: "get_info" },
      signal: joinSignals(this.session, signal),
    });
    const {
      model_data: data,
      lora_rank: rank,
      model_name: name,
    } = asObject(answer, "get_info answer") as unknown as GetInfoAnswer;
    const baseModel = data?.base_model ?? data?.model_name ?? name ?? "";
    const tokenizerId = (data?.tokenizer_id ?? baseModel).split(":")[0]!;
    const inner = (data as { lora_config?: { rank?: number } | null } | undefined)?.lora_config;
    return { modelId: this.modelId, baseModel, tokenizerId, loraRank: rank ?? inner?.rank };
  }

  /** The datum count a server that averages divides by; checks that it stays what the step's first call announced. */
  private countDatums(turn: Turn, datums: number, options: ForwardBackwardOptions): number {
    if (this.session.dialect().reduction === "sum") return 1;
    this.step ??= { declared: options.datumsInStep ?? turn.queuedGradientDatums(), sent: 0 };
    const { declared } = this.step;
    if (options.datumsInStep !== undefined && options.datumsInStep !== declared) {
      throw new InvalidArgumentError(
        `datumsInStep is ${options.datumsInStep}, but this optimizer step began with ${declared}`,
      );
    }
    if (this.step.sent + datums > declared) {
      throw new DialectError(
        `${this.session.dialect().name} averages over all datums of an optimizer step, so their number (${declared} so far) must be known with the step's first call: pass datumsInStep, or make all calls of the step before awaiting the first`,
      );
    }
    this.step.sent += datums;
    return declared;
  }

  /** Sends a call that adds gradients; one that was not taken on does not count for the step. */
  private async sendGradient(
    turn: Turn,
    datums: number,
    options: ForwardBackwardOptions,
    makeCall: (datumsInStep: number) => LossCall,
  ): Promise<Pending<ForwardBackwardOutput>> {
    const datumsInStep = this.countDatums(turn, datums, options);
    try {
      return await this.passes.send(turn, makeCall(datumsInStep), false, this.wait(options));
    } catch (error) {
      if (this.step !== undefined) this.step.sent -= datums;
      if (this.step?.sent === 0) this.step = undefined;
      throw error;
    }
  }

  private sendOne(turn: Turn, path: string, body: (seqId: number) => unknown): Promise<Submitted> {
    // Loading the same state twice is the same as once; the others are safe where the server recognises the sequence id.
    const safe = this.session.dialect().repeatsAreSafe || path === "load_weights";
    return turn.send(1, (seqId) => submitPromise(this.session, path, { json: body(seqId) }, safe));
  }

  private result<T>(
    type: RequestType,
    submitted: Submitted,
    limits: CallLimits,
    read: (value: unknown) => T,
  ): Pending<T> {
    return pending(
      retrieveResult(this.session, type, submitted, (payload) => read(jsonResult(payload)), this.wait(limits)),
    );
  }

  private wait(limits: CallLimits): WaitLimits {
    return {
      signal: joinSignals(this.session, limits.signal),
      ...(limits.timeoutMs === undefined ? {} : { timeoutMs: limits.timeoutMs }),
    };
  }

  private request<T>(
    kind: RequestKind,
    datums: number,
    limits: CallLimits,
    submit: (turn: Turn) => Promise<Pending<T>>,
  ): ApiFuture<T> {
    checkOpen(this.session);
    const { signal } = limits;
    const submitted = this.queue.enqueue(kind, datums, submit, signal);
    const accepted = submitted.then(() => undefined);
    const result = submitted.then((pendingResult) => pendingResult.result);
    return apiFuture(unlessAborted(accepted, signal), unlessAborted(result, signal));
  }
}

function lossCall(data: readonly Datum[], lossFn: string, options: ForwardBackwardOptions): LossCall {
  return { data, lossFn, ...(options.lossFnConfig === undefined ? {} : { lossFnConfig: options.lossFnConfig }) };
}

/** A forward pass is wanted for its logprobs; the loss it reports is computed from them where servers differ. */
function forwardCall(call: LossCall): LossCall {
  const data = call.data.map((datum): Datum => {
    const targets = datum.lossFnInputs.target_tokens!;
    const weights = datum.lossFnInputs.weights ?? float32Tensor(new Float32Array(targets.data.length));
    return { modelInput: datum.modelInput, lossFnInputs: { target_tokens: targets, weights } };
  });
  return { data, lossFn: "cross_entropy" };
}

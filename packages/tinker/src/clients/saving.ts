import { asArray, asObject, asString, optional } from "../codec/json.js";
import type { SamplerVersion } from "../dialect/sampler-guard.js";
import { ConflictError, DeadlineExceededError, InvalidArgumentError, UnconfirmedRequestError } from "../errors.js";
import type { RequestType } from "../futures/future-poller.js";
import { formatCheckpointPath } from "../protocol/paths.js";
import type { SaveWeightsBody, SaveWeightsForSamplerBody } from "../protocol/wire.js";
import { sleep } from "../transport/retry-policy.js";
import { errorDetail } from "../transport/transport.js";
import { type Pending, pending } from "./pending.js";
import { joinSignals, type Session } from "./session.js";
import type { Turn } from "./submission-queue.js";
import type { CallLimits } from "./training-client.js";
import { jsonResult, promiseId, retrieveResult, type Submitted } from "./training-requests.js";

/** Sampler weights as saved. */
export interface SavedWeights {
  /** Canonical path of a named save; null for an unnamed one. */
  readonly path: string | null;
  /** The sampling session of an unnamed save. */
  readonly samplingSessionId?: string;
  readonly version: SamplerVersion;
}

/** What all servers accept as a checkpoint name. */
export function checkCheckpointName(name: string): void {
  if (!/^[A-Za-z0-9_-]{1,255}$/.test(name)) {
    throw new InvalidArgumentError(`"${name}" is no checkpoint name: letters, digits, - and _, at most 255`);
  }
}

type SaveOptions = CallLimits & { readonly ttlSeconds?: number; readonly overwrite?: boolean };

export async function saveState(
  session: Session,
  modelId: string,
  turn: Turn,
  name: string,
  options: SaveOptions,
): Promise<Pending<string>> {
  checkCheckpointName(name);
  const own = formatCheckpointPath({ runId: modelId, kind: "weights", name });
  const sent = await submitSave(
    session,
    "save_weights",
    turn,
    own,
    false,
    (seqId): SaveWeightsBody => ({
      model_id: modelId,
      path: name,
      seq_id: seqId,
      overwrite: options.overwrite ?? false,
      type: "save_weights",
      ...(options.ttlSeconds === undefined ? {} : { ttl_seconds: options.ttlSeconds }),
    }),
  );
  return pending(
    saveResult(
      session,
      "SaveWeights",
      sent,
      modelId,
      name,
      options,
      (answer) => optional(answer.path, "path", asString) ?? own,
    ),
  );
}

export async function saveWeightsForSampler(
  session: Session,
  modelId: string,
  turn: Turn,
  name: string | undefined,
  options: SaveOptions,
): Promise<Pending<SavedWeights>> {
  if (name !== undefined) checkCheckpointName(name);
  const own =
    name === undefined
      ? "an unnamed sampler save"
      : formatCheckpointPath({ runId: modelId, kind: "sampler_weights", name });
  const version = session.guard.saved(modelId, name ?? "(unnamed)");
  const body = (seqId: number): SaveWeightsForSamplerBody => ({
    model_id: modelId,
    seq_id: seqId,
    type: "save_weights_for_sampler",
    ...(name === undefined ? { sampling_session_seq_id: session.nextSamplingSessionSeqId() } : { path: name }),
    ...(options.ttlSeconds === undefined ? {} : { ttl_seconds: options.ttlSeconds }),
  });
  const sent = await submitSave(session, "save_weights_for_sampler", turn, own, name === undefined, body);
  const read = (answer: Readonly<Record<string, unknown>>): SavedWeights => {
    const samplingSessionId = optional(answer.sampling_session_id, "sampling_session_id", asString);
    // SkyRL answers with a shortened path; the canonical one means the same everywhere.
    return {
      path: name === undefined ? null : own,
      version,
      ...(samplingSessionId === undefined ? {} : { samplingSessionId }),
    };
  };
  return pending(saveResult(session, "SaveWeightsForSampler", sent, modelId, name, options, read));
}

/** "exists": our own first attempt had succeeded, only its answer was lost. */
type Sent = Submitted | "exists";

/**
 * Posts a save. 409 means that the checkpoint exists. Only this client saves this model, so under a name that it has not
 * used before it is this very save, delivered twice or repeated after a lost answer; under a used name it is the older one,
 * and pretending that it was saved now would lose the state.
 */
async function submitSave(
  session: Session,
  path: string,
  turn: Turn,
  own: string,
  unnamed: boolean,
  body: (seqId: number) => unknown,
): Promise<Sent> {
  const savedBefore = !unnamed && session.savedPaths.has(own);
  session.savedPaths.add(own);
  return turn.send(1, async (seqId) => {
    const startedMs = performance.now();
    // One body for all attempts, as the protocol asks.
    let json = body(seqId);
    const submit = async (signal?: AbortSignal): Promise<string | "exists"> => {
      const response = await session.transport.submit(path, {
        json,
        accepted: [409],
        expectJson: true,
        signal: signal ?? session.signal,
      });
      if (response.status !== 409) return promiseId(response.json, path);
      if (response.mayHaveActedBefore || !savedBefore) return "exists";
      throw new ConflictError(
        409,
        errorDetail(response),
        { route: `POST ${path}` },
        `${own} exists already: choose another name`,
      );
    };
    let id = await submit();
    if (id === "exists" && unnamed) {
      // That save exists, but only its lost answer named its sampling session: make another one.
      json = body(seqId);
      id = await submit();
    }
    if (id === "exists") return "exists";
    const resubmit = async (signal?: AbortSignal): Promise<string> => {
      const again = await submit(signal);
      if (again === "exists") throw new UnconfirmedRequestError(`${own} was taken on, but the server lost its promise`);
      return again;
    };
    return { requestId: id, resubmit, submissionMs: performance.now() - startedMs };
  });
}

async function saveResult<T>(
  session: Session,
  type: RequestType,
  sent: Sent,
  modelId: string,
  name: string | undefined,
  options: CallLimits,
  read: (answer: Readonly<Record<string, unknown>>) => T,
): Promise<T> {
  const signal = joinSignals(session, options.signal);
  if (sent !== "exists") {
    const wait = { signal, ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }) };
    return retrieveResult(
      session,
      type,
      sent,
      (payload) => read(asObject(jsonResult(payload), `${type} result`)),
      wait,
    );
  }
  if (name === undefined) {
    throw new UnconfirmedRequestError(
      "the unnamed sampler save was made, but the name of its sampling session was lost: save again",
    );
  }
  await untilListed(session, modelId, type === "SaveWeights" ? "training" : "sampler", name, signal, options.timeoutMs);
  return read({});
}

/** Waits until a checkpoint that exists is complete, which is when servers list it. */
async function untilListed(
  session: Session,
  modelId: string,
  type: string,
  name: string,
  signal: AbortSignal,
  timeoutMs?: number,
): Promise<void> {
  const deadlineMs = performance.now() + (timeoutMs ?? session.transport.retry.resultTimeoutMs);
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 5_000)) {
    const path = `training_runs/${encodeURIComponent(modelId)}/checkpoints`;
    const answer = asObject(await session.transport.submitJson(path, { method: "GET", signal }), "checkpoints");
    const found = asArray(answer.checkpoints, "checkpoints").some((item) => {
      const checkpoint = asObject(item, "checkpoint");
      return (
        checkpoint.checkpoint_type === type &&
        asString(checkpoint.checkpoint_id, "checkpoint_id").split("/").at(-1) === name
      );
    });
    if (found) return;
    if (performance.now() + pauseMs > deadlineMs)
      throw new DeadlineExceededError(`checkpoint ${name} of ${modelId} was not complete in time`);
    await sleep(pauseMs, signal);
  }
}

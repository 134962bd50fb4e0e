import { asObject, asString, optional } from "../codec/json.js";
import { detectFamily } from "../dialect/detect.js";
import { type Dialect, type DialectName, dialectOf } from "../dialect/dialect.js";
import { SamplerGuard } from "../dialect/sampler-guard.js";
import { ApiStatusError, ClientClosedError } from "../errors.js";
import { FuturePoller } from "../futures/future-poller.js";
import type { ClientConfigBody, CreateSessionBody } from "../protocol/wire.js";
import { exchangedCredential } from "../transport/credentials.js";
import { NodeHttpClient } from "../transport/http-client.js";
import { DEFAULT_RETRY } from "../transport/retry-policy.js";
import { Semaphore } from "../transport/semaphore.js";
import { Transport } from "../transport/transport.js";
import {
  DEFAULT_SDK_VERSION,
  isHostedAddress,
  readClientConfig,
  resolveBaseUrl,
  resolveCredential,
  resolveHeaders,
  type ServiceClientOptions,
} from "./config.js";
import { Heartbeat } from "./heartbeat.js";
import { SKYRL_TRAIN_OPTIMIZER } from "./optimizer-check.js";
import { SamplingPause, type Session } from "./session.js";

/** An open session with what only the service client needs of it. */
export interface Connection {
  readonly session: Session;
  readonly heartbeat: Heartbeat;
  readonly clearLeftoverGradients: boolean;
  /** False while it is only known that the server is SkyRL, not which back end it has. */
  readonly dialectSettled: boolean;
  settleDialect(name: DialectName): void;
  close(): Promise<void>;
}

/** The official start-up sequence: settings, token exchange where asked for, session, heartbeat. */
export async function openSession(options: ServiceClientOptions): Promise<Connection> {
  const baseUrl = resolveBaseUrl(options);
  const credential = resolveCredential(options, baseUrl);
  const headers = resolveHeaders(options);
  const sdkVersion = options.sdkVersion ?? DEFAULT_SDK_VERSION;
  const closing = new AbortController();
  const signal = options.signal === undefined ? closing.signal : AbortSignal.any([closing.signal, options.signal]);
  const keyTransport = new Transport({
    baseUrl,
    http: options.http ?? new NodeHttpClient({ maxConnections: options.maxConnections ?? 2048 }),
    credential,
    headers,
    retry: { ...DEFAULT_RETRY, ...options.retry },
    maxConcurrentRequests: options.maxConcurrentRequests ?? 400,
    random: Math.random,
  });
  try {
    const answer = await keyTransport.submitJson("client/config", { json: { sdk_version: sdkVersion }, signal });
    const config = readClientConfig((optional(answer, "client/config answer", asObject) ?? {}) as ClientConfigBody);
    const transport = config.exchangeToken
      ? keyTransport.withCredential(exchangedCredential(() => exchangeToken(keyTransport, signal)))
      : keyTransport;
    await readDynamicConfig(transport, sdkVersion, signal);
    let { dialect, settled } = await startingDialect(transport, options, signal);
    const created = asObject(
      await transport.submitJson("create_session", { json: sessionBody(options, sdkVersion), signal }),
      "create_session answer",
    );
    const sessionId = asString(created.session_id, "create_session answer: session_id");
    for (const level of ["info", "warning", "error"] as const) {
      const message = optional(created[`${level}_message`], `${level}_message`, asString);
      if (message) options.onNotice?.(level, message);
    }
    const heartbeat = new Heartbeat({
      url: transport.url("session_heartbeat").href,
      tokenUrl: transport.url("auth/token").href,
      sessionId,
      headers,
      apiKey: await credential.get(signal),
      exchangeToken: config.exchangeToken,
      intervalMs: options.heartbeatIntervalMs ?? 10_000,
      timeoutMs: 10_000,
      lostAfterMs: 120_000,
      onLost: (silentMs, problem) =>
        options.onNotice?.(
          "warning",
          `no heartbeat reached the server for ${Math.round(silentMs / 1_000)} s (${problem}); it may end the session`,
        ),
    });
    let modelSeqId = 0;
    let samplingSessionSeqId = 0;
    const codec = options.codec ?? "auto";
    const session: Session = {
      id: sessionId,
      transport,
      config,
      signal,
      guard: new SamplerGuard(() => dialect),
      futures: new FuturePoller(transport, {
        responseBytes: config.responseBytes,
        billingPauseLimitMs: config.billingPauseLimitMs,
        ...(options.onQueueState === undefined ? {} : { onQueueState: options.onQueueState }),
      }),
      samplingSlots: new Semaphore(config.maxConcurrentSamples),
      samplingBytes: new Semaphore(config.sampleDispatchBytes),
      trainingBytes: new Semaphore(config.trainingDispatchBytes),
      samplingPause: new SamplingPause(),
      savedPaths: new Set(),
      codec: codec !== "auto" ? codec : dialect.protobuf ? "protobuf" : "json",
      serverOptimizer: { ...SKYRL_TRAIN_OPTIMIZER, ...options.serverOptimizer },
      dialect: () => dialect,
      nextModelSeqId: () => modelSeqId++,
      nextSamplingSessionSeqId: () => samplingSessionSeqId++,
    };
    return {
      session,
      heartbeat,
      clearLeftoverGradients: options.clearLeftoverGradients ?? true,
      get dialectSettled() {
        return settled;
      },
      settleDialect: (name) => {
        dialect = dialectOf(name, { repeatsAreSafe: dialect.repeatsAreSafe });
        settled = true;
      },
      close: async () => {
        closing.abort(new ClientClosedError("the service client was closed"));
        await heartbeat.stop();
        transport.close();
      },
    };
  } catch (error) {
    keyTransport.close();
    throw error;
  }
}

/** Configured, or found out; a SkyRL server counts as its JAX back end, the stricter one, until a model shows which it is. */
async function startingDialect(
  transport: Transport,
  options: ServiceClientOptions,
  signal: AbortSignal,
): Promise<{ dialect: Dialect; settled: boolean }> {
  const wanted = options.dialect ?? "auto";
  // The hosted service is known by its address: nothing outside its API needs to be asked for.
  if (wanted === "hosted" || (wanted === "auto" && isHostedAddress(transport.url("/").hostname))) {
    return { dialect: dialectOf("hosted", { repeatsAreSafe: options.repeatsAreSafe ?? true }), settled: true };
  }
  const { family, repeatsAreSafe } = await detectFamily(transport, signal);
  if (wanted === "auto" && family === "hosted") {
    return { dialect: dialectOf("hosted", { repeatsAreSafe: options.repeatsAreSafe ?? true }), settled: true };
  }
  // A SkyRL behind a proxy that hides its schema is taken for one that does not recognise repetitions.
  const safe = options.repeatsAreSafe ?? (family === "skyrl" && repeatsAreSafe);
  return {
    dialect: dialectOf(wanted === "auto" ? "skyrl-jax" : wanted, { repeatsAreSafe: safe }),
    settled: wanted !== "auto",
  };
}

/** Asked for because the service expects it; SkyRL has no such route. Nothing in it concerns this client. */
async function readDynamicConfig(transport: Transport, sdkVersion: string, signal: AbortSignal): Promise<void> {
  try {
    await transport.submit("client/dynamic_config", { json: { sdk_version: sdkVersion }, signal, singleAttempt: true });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ApiStatusError && error.status === 401) throw error;
  }
}

async function exchangeToken(transport: Transport, signal: AbortSignal): Promise<string> {
  const answer = asObject(await transport.submitJson("auth/token", { json: {}, signal }), "auth/token answer");
  return asString(answer.jwt, "auth/token answer: jwt");
}

function sessionBody(options: ServiceClientOptions, sdkVersion: string): CreateSessionBody {
  const env = options.env ?? process.env;
  const tags =
    options.tags ??
    (env.TINKER_TAGS ?? "")
      .split(",")
      .map((tag) => tag.trim())
      .filter((tag) => tag !== "");
  return {
    tags,
    user_metadata: options.userMetadata ?? {},
    sdk_version: sdkVersion,
    type: "create_session",
    ...(options.projectId === undefined ? {} : { project_id: options.projectId }),
  };
}

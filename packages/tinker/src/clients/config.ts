import type { DialectName } from "../dialect/dialect.js";
import { InvalidArgumentError } from "../errors.js";
import type { QueueState } from "../futures/future-poller.js";
import type { AdamParams } from "../protocol/training.js";
import type { ClientConfigBody } from "../protocol/wire.js";
import { type CredentialSource, commandCredential, staticCredential } from "../transport/credentials.js";
import type { HttpClient } from "../transport/http-client.js";
import type { RetryOptions } from "../transport/retry-policy.js";

export const DEFAULT_BASE_URL = "https://tinker.thinkingmachines.dev/services/tinker-prod";

/** The client version told to the service, which refuses versions it no longer supports. */
export const DEFAULT_SDK_VERSION = "0.25.0";

export interface ServiceClientOptions {
  /** Server address without `/api/v1`; else `TINKER_BASE_URL`, else the hosted service. */
  readonly baseUrl?: string;
  /** API key, or a source of keys; else `TINKER_CREDENTIAL_CMD`, else `TINKER_API_KEY`. SkyRL needs none. */
  readonly apiKey?: string | CredentialSource;
  /** "auto" asks the server. Set it where a proxy hides the server's root, or to save the probe. */
  readonly dialect?: DialectName | "auto";
  /** "auto": protobuf for training requests where the dialect has it, else JSON. Results are read in either form. */
  readonly codec?: "auto" | "protobuf" | "json";
  /**
   * Whether the server recognises a repeated training request by (model, seq_id). Found out for SkyRL; where it does not,
   * a request whose answer was lost is not repeated but reported.
   */
  readonly repeatsAreSafe?: boolean;
  /** Optimizer settings in the configuration of a SkyRL-train server, which ignores all but the learning rate of requests. */
  readonly serverOptimizer?: Partial<Omit<AdamParams, "learningRate">>;
  /** Makes a fresh SkyRL-JAX model discard gradients that an earlier model left in its slot (default true). */
  readonly clearLeftoverGradients?: boolean;
  readonly projectId?: string;
  /** Else `TINKER_TAGS` (comma-separated). */
  readonly tags?: readonly string[];
  readonly userMetadata?: Readonly<Record<string, string>>;
  readonly sdkVersion?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly retry?: Partial<RetryOptions>;
  /** Requests under way at the same time, long polls apart (default 400, as in the official client). */
  readonly maxConcurrentRequests?: number;
  /** Open connections (default 2048): each awaited result holds one. */
  readonly maxConnections?: number;
  readonly heartbeatIntervalMs?: number;
  /** Called with messages for the user: the session's notices, lost heartbeats. The library itself prints nothing. */
  readonly onNotice?: (level: "info" | "warning" | "error", message: string) => void;
  /** Called when the server says why results take long (capacity, rate limit). */
  readonly onQueueState?: (state: QueueState) => void;
  /** Aborting ends the client and everything under way. */
  readonly signal?: AbortSignal;
  /** Replaces the HTTP client, for tests and special networks. */
  readonly http?: HttpClient;
  /** Environment to read (default `process.env`). */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The server's settings with the protocol's defaults filled in. */
export interface ClientConfig {
  readonly exchangeToken: boolean;
  readonly sampleDispatchBytes: number;
  readonly responseBytes: number;
  readonly parallelChunks: boolean;
  readonly compress: boolean;
  readonly maxChunkDatums: number;
  readonly maxChunkBytes: number;
  readonly trainingDispatchBytes: number;
  readonly billingPauseLimitMs: number;
  readonly sampleNoRetries: boolean;
  readonly maxConcurrentSamples: number;
  readonly createModelViaLoadWeights: boolean;
}

export function readClientConfig(body: ClientConfigBody): ClientConfig {
  return {
    exchangeToken: body.pjwt_auth_enabled ?? false,
    sampleDispatchBytes: body.sample_dispatch_bytes_semaphore_size ?? 10_485_760,
    responseBytes: body.inflight_response_bytes_semaphore_size ?? 52_428_800,
    parallelChunks: body.parallel_fwdbwd_chunks ?? true,
    compress: body.proto_compress_fwdbwd ?? false,
    maxChunkDatums: body.fwdbwd_max_chunk_len ?? 1024,
    maxChunkBytes: body.fwdbwd_max_chunk_bytes_count ?? 5_000_000,
    trainingDispatchBytes: body.fwdbwd_dispatch_bytes_semaphore_size ?? 50_000_000,
    billingPauseLimitMs: (body.billing_exception_max_pause_duration_sec ?? 3600) * 1_000,
    sampleNoRetries: body.sample_no_retries ?? false,
    maxConcurrentSamples: body.sample_max_concurrent_requests ?? 2000,
    createModelViaLoadWeights: body.create_model_via_load_weights ?? false,
  };
}

/** The base URL, checked and without its trailing slash. */
export function resolveBaseUrl(options: ServiceClientOptions): string {
  const env = options.env ?? process.env;
  const text = options.baseUrl ?? env.TINKER_BASE_URL ?? DEFAULT_BASE_URL;
  if (!/^https?:\/\/[^/]/.test(text) || !URL.canParse(text)) {
    throw new InvalidArgumentError(`the base URL "${text}" is not an http or https address`);
  }
  return text.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
}

/** Whether a host is the hosted service's. */
export function isHostedAddress(hostname: string): boolean {
  return hostname === "thinkingmachines.dev" || hostname.endsWith(".thinkingmachines.dev");
}

/** Where the API key comes from. Throws {@link InvalidArgumentError} where the hosted service would refuse it. */
export function resolveCredential(options: ServiceClientOptions, baseUrl: string): CredentialSource {
  const env = options.env ?? process.env;
  if (typeof options.apiKey === "object") return options.apiKey;
  if (options.apiKey === undefined && env.TINKER_CREDENTIAL_CMD) return commandCredential(env.TINKER_CREDENTIAL_CMD);
  const key = options.apiKey ?? env.TINKER_API_KEY ?? "";
  if (isHostedAddress(new URL(baseUrl).hostname) && !/^(tml-|eyJ)/.test(key)) {
    const problem = key === "" ? "no API key is set" : "the API key does not start with tml- or eyJ";
    throw new InvalidArgumentError(`${problem}: set TINKER_API_KEY, TINKER_CREDENTIAL_CMD or the option apiKey`);
  }
  if (/[\r\n]/.test(key)) throw new InvalidArgumentError("the API key holds a line break");
  return staticCredential(key);
}

/** Headers of every request. */
export function resolveHeaders(options: ServiceClientOptions): Record<string, string> {
  const env = options.env ?? process.env;
  return {
    "user-agent": "critique-grpo-tinker/0.1.0",
    ...(env.CLOUDFLARE_ACCESS_CLIENT_ID && env.CLOUDFLARE_ACCESS_CLIENT_SECRET
      ? {
          "cf-access-client-id": env.CLOUDFLARE_ACCESS_CLIENT_ID,
          "cf-access-client-secret": env.CLOUDFLARE_ACCESS_CLIENT_SECRET,
        }
      : {}),
    ...options.headers,
  };
}

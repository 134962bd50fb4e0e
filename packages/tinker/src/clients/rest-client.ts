import { createHash } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { asArray, asObject, asString, type JsonObject, optional } from "../codec/json.js";
import {
  DeadlineExceededError,
  InvalidArgumentError,
  ProtocolError,
  statusError,
  TinkerConnectionError,
} from "../errors.js";
import { formatCheckpointPath, parseCheckpointPath } from "../protocol/paths.js";
import type {
  CheckpointBody,
  CursorBody,
  SamplerAnswer,
  TrainingRunBody,
  WeightsInfoAnswer,
} from "../protocol/wire.js";
import { sleep } from "../transport/retry-policy.js";
import { errorDetail, parseJson } from "../transport/transport.js";
import { checkOpen, joinSignals, type Session } from "./session.js";

export interface PageOptions {
  readonly limit?: number;
  readonly offset?: number;
  readonly signal?: AbortSignal;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Absent where the server does not page. */
  readonly cursor?: CursorBody;
}

export interface Archive {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Attempts and pause while the service is still building an archive. */
const ARCHIVE_ATTEMPTS = 6;
const ARCHIVE_PAUSE_MS = 30_000;

/** Listings and checkpoint management. Routes that only the hosted service has answer with a NotFoundError elsewhere. */
export class RestClient {
  constructor(private readonly session: Session) {}

  async listTrainingRuns(
    options: PageOptions & { readonly accessScope?: "owned" | "accessible"; readonly projectId?: string } = {},
  ): Promise<Page<TrainingRunBody>> {
    const query = {
      ...page(options),
      access_scope: options.accessScope ?? "owned",
      ...(options.projectId === undefined ? {} : { project_id: options.projectId }),
    };
    return readPage<TrainingRunBody>(await this.get("training_runs", query, options.signal), "training_runs");
  }

  async getTrainingRun(runId: string, signal?: AbortSignal): Promise<TrainingRunBody> {
    return (await this.get(`training_runs/${encodeURIComponent(runId)}`, {}, signal)) as unknown as TrainingRunBody;
  }

  async listCheckpoints(runId: string, options: PageOptions = {}): Promise<Page<CheckpointBody>> {
    return readPage<CheckpointBody>(
      await this.get(`training_runs/${encodeURIComponent(runId)}/checkpoints`, {}, options.signal),
      "checkpoints",
    );
  }

  /** All checkpoints of the account (hosted service). */
  async listAllCheckpoints(options: PageOptions = {}): Promise<Page<CheckpointBody>> {
    return readPage<CheckpointBody>(await this.get("checkpoints", page(options), options.signal), "checkpoints");
  }

  /** What a saved state was trained from, as needed to load it. */
  async weightsInfo(path: string, signal?: AbortSignal): Promise<WeightsInfoAnswer> {
    checkOpen(this.session);
    const answer = await this.session.transport.submitJson("weights_info", {
      json: { tinker_path: path },
      signal: joinSignals(this.session, signal),
    });
    const body = asObject(answer, "weights_info answer");
    asString(body.base_model, "weights_info answer: base_model");
    return body as unknown as WeightsInfoAnswer;
  }

  async getSampler(samplingSessionId: string, signal?: AbortSignal): Promise<SamplerAnswer> {
    return (await this.get(
      `samplers/${encodeURIComponent(samplingSessionId)}`,
      {},
      signal,
    )) as unknown as SamplerAnswer;
  }

  /** Deletes a checkpoint for good. A repetition after a lost answer finds it gone, which is then no error. */
  async deleteCheckpoint(path: string, signal?: AbortSignal): Promise<void> {
    const { runId, kind, name } = parseCheckpointPath(path);
    await this.send(
      "DELETE",
      `training_runs/${encodeURIComponent(runId)}/checkpoints/${kind}/${encodeURIComponent(name)}`,
      undefined,
      signal,
      [404],
    );
  }

  /** Hosted service: the checkpoint expires after `ttlSeconds`; null keeps it. */
  async setCheckpointTtl(path: string, ttlSeconds: number | null, signal?: AbortSignal): Promise<void> {
    await this.send("PUT", `${this.checkpointRoute(path)}/ttl`, { ttl_seconds: ttlSeconds }, signal);
  }

  /** Hosted service: makes a checkpoint readable for everyone. */
  async publishCheckpoint(path: string, signal?: AbortSignal): Promise<void> {
    await this.send("POST", `${this.checkpointRoute(path)}/publish`, undefined, signal);
  }

  async unpublishCheckpoint(path: string, signal?: AbortSignal): Promise<void> {
    await this.send("DELETE", `${this.checkpointRoute(path)}/publish`, undefined, signal);
  }

  async listSessions(options: PageOptions = {}): Promise<Page<string>> {
    return readPage<string>(
      await this.get("sessions", { ...page(options), access_scope: "owned" }, options.signal),
      "sessions",
    );
  }

  async getSession(sessionId: string, signal?: AbortSignal): Promise<JsonObject> {
    return this.get(`sessions/${encodeURIComponent(sessionId)}`, {}, signal);
  }

  /** Address from which a sampler checkpoint's archive can be fetched without the API key. Waits while the archive is built. */
  async archiveUrl(path: string, signal?: AbortSignal): Promise<string> {
    checkOpen(this.session);
    const joined = joinSignals(this.session, signal);
    const { transport } = this.session;
    for (let attempt = 1; ; attempt++) {
      // The redirect is read, not followed: the key must not travel to the storage server.
      const response = await transport.submit(`${this.checkpointRoute(path)}/archive`, {
        method: "GET",
        signal: joined,
        accepted: [302, 303, 307, 503],
      });
      if (response.status === 503) {
        if (attempt >= ARCHIVE_ATTEMPTS) {
          throw new DeadlineExceededError(
            `the archive of ${path} was not built after ${attempt} requests: ${errorDetail(response)}`,
            {},
            false,
          );
        }
        await sleep(Math.min(ARCHIVE_PAUSE_MS, transport.retry.slowMaxDelayMs), joined);
        continue;
      }
      const location = response.headers.location;
      const url =
        response.status === 200
          ? asString(asObject(parseJson(response, "archive"), "archive").url, "archive: url")
          : location;
      if (typeof url !== "string" || !URL.canParse(url, transport.url("").href))
        throw new ProtocolError(`the archive of ${path} has no readable address`);
      return new URL(url, transport.url("")).href;
    }
  }

  /**
   * Downloads a sampler checkpoint's archive (a tar, gzipped or not) to a file: written beside it, synced, then renamed.
   * Broken transmissions are repeated; the length is checked where the server tells it.
   */
  async downloadArchive(path: string, file: string, signal?: AbortSignal): Promise<Archive> {
    const joined = joinSignals(this.session, signal);
    const url = new URL(await this.archiveUrl(path, signal));
    let body: Uint8Array | undefined;
    for (let attempt = 0; body === undefined; attempt++) {
      try {
        body = await this.fetchArchive(url, joined);
      } catch (error) {
        if (!(error instanceof TinkerConnectionError) || attempt >= 5) throw error;
        await sleep(
          Math.min(this.session.transport.retry.initialDelayMs * 2 ** attempt, this.session.transport.retry.maxDelayMs),
          joined,
        );
      }
    }
    await mkdir(dirname(file), { recursive: true });
    const temporary = `${file}.${process.pid}.tmp`;
    try {
      const handle = await open(temporary, "w");
      try {
        await handle.writeFile(body, { signal: joined });
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, file);
    } finally {
      await rm(temporary, { force: true });
    }
    return { path: file, bytes: body.length, sha256: createHash("sha256").update(body).digest("hex") };
  }

  private async fetchArchive(url: URL, signal: AbortSignal): Promise<Uint8Array> {
    const response = await this.session.transport.download(url, signal);
    if (response.status !== 200)
      throw statusError(response.status, errorDetail(response), { route: `GET ${url.origin}${url.pathname}` });
    if (response.body.length === 0) throw new ProtocolError(`the archive at ${url.origin}${url.pathname} is empty`);
    return response.body;
  }

  /** Servers differ in whether the kind is part of a checkpoint's id. */
  private checkpointRoute(path: string): string {
    const { runId, kind, name } = parseCheckpointPath(path);
    if (this.session.dialect().checkpointIds === "bare" && kind === "weights") {
      throw new InvalidArgumentError(
        `${formatCheckpointPath({ runId, kind, name })}: this server offers archives of sampler weights only`,
      );
    }
    const id =
      this.session.dialect().checkpointIds === "bare"
        ? encodeURIComponent(name)
        : `${kind}/${encodeURIComponent(name)}`;
    return `training_runs/${encodeURIComponent(runId)}/checkpoints/${id}`;
  }

  private async get(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<JsonObject> {
    checkOpen(this.session);
    const search = new URLSearchParams(query).toString();
    const answer = await this.session.transport.submitJson(search === "" ? path : `${path}?${search}`, {
      method: "GET",
      signal: joinSignals(this.session, signal),
    });
    return asObject(answer, `GET ${path}`);
  }

  private async send(
    method: "POST" | "PUT" | "DELETE",
    path: string,
    json: unknown,
    signal: AbortSignal | undefined,
    accepted: readonly number[] = [],
  ): Promise<void> {
    checkOpen(this.session);
    const response = await this.session.transport.submit(path, {
      method,
      signal: joinSignals(this.session, signal),
      accepted,
      ...(json === undefined ? {} : { json }),
    });
    if (response.status === 404 && !response.mayHaveActedBefore)
      throw statusError(404, errorDetail(response), { route: `${method} ${path}` });
  }
}

function page(options: PageOptions): Record<string, string> {
  return { limit: String(options.limit ?? 20), offset: String(options.offset ?? 0) };
}

function readPage<T>(body: JsonObject, name: string): Page<T> {
  const items = asArray(body[name], name) as readonly T[];
  const cursor = optional(body.cursor, "cursor", asObject) as CursorBody | undefined;
  return { items, ...(cursor === undefined ? {} : { cursor }) };
}

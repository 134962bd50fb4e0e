/** Routes that answer at once about runs, checkpoints and sessions. */
import { formatCheckpointPath } from "@critique-grpo/tinker";
import { BadRequest, HttpError } from "../../http/errors.js";
import { decodePathPart } from "../../http/messages.js";
import { loraFacts } from "../models/adapter-shape.js";
import type { CheckpointRecord } from "../models/checkpoint-store.js";
import type { ArchiveLinks } from "./archives.js";
import type { TinkerService } from "./service.js";

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const ok = (body: unknown): Answer => ({ status: 200, body });

/** Undefined for other routes. */
export async function answerListing(
  service: TinkerService,
  links: ArchiveLinks,
  method: string,
  path: string,
  query: URLSearchParams,
): Promise<Answer | undefined> {
  const parts = path.split("/").map(decodePathPart);
  if (method === "GET" && path === "training_runs") {
    const runs = runIds(service).map((id) => describeRun(service, id));
    return ok({ training_runs: page(runs, query).items, cursor: page(runs, query).cursor });
  }
  if (method === "GET" && path === "checkpoints") {
    const all = service.store.list().map(describeCheckpoint);
    return ok({ checkpoints: page(all, query).items, cursor: page(all, query).cursor });
  }
  if (method === "GET" && path === "sessions") {
    const all = [...service.sessions.keys()];
    return ok({ sessions: page(all, query).items, cursor: page(all, query).cursor });
  }
  if (method === "GET" && parts[0] === "sessions" && parts.length === 2) return ok(describeSession(service, parts[1]!));
  if (method === "GET" && parts[0] === "samplers" && parts.length === 2) {
    const { id, modelPath } = service.samplingSession(parts[1]!);
    return ok({ sampler_id: id, base_model: service.options.modelName, model_path: modelPath ?? null });
  }
  if ((parts[0] === "training_runs" || parts[0] === "models") && parts.length >= 2)
    return answerRun(service, links, method, parts.slice(1));
  return undefined;
}

async function answerRun(
  service: TinkerService,
  links: ArchiveLinks,
  method: string,
  [runId = "", section, ...rest]: readonly string[],
): Promise<Answer | undefined> {
  if (section === undefined && method === "GET") {
    if (!runIds(service).includes(runId)) throw new HttpError(404, `There is no training run ${runId}`);
    return ok(describeRun(service, runId));
  }
  if (section !== "checkpoints") return undefined;
  if (rest.length === 0 && method === "GET")
    return ok({ checkpoints: service.store.list(runId).map(describeCheckpoint), cursor: null });
  // weights/<name> and sampler_weights/<name>, the latter also without its folder.
  const action = rest.at(-1) === "archive" ? "archive" : undefined;
  const id = action === undefined ? rest : rest.slice(0, -1);
  if (id.length === 0 || id.length > 2) return undefined;
  const record = service.store.get(`tinker://${runId}/${id.join("/")}`);
  if (action === "archive" && method === "GET") {
    const { location, expires } = links.create(record);
    return { status: 302, headers: { location, expires: expires.toUTCString() } };
  }
  if (action === undefined && method === "DELETE") {
    await service.store.delete(record);
    return { status: 204 };
  }
  return undefined;
}

function runIds(service: TinkerService): string[] {
  return [...new Set([...service.store.list().map((record) => record.runId), ...service.models.keys()])];
}

function describeRun(service: TinkerService, id: string) {
  const model = service.models.get(id);
  const records = service.store.list(id);
  const last = (kind: CheckpointRecord["kind"]) => {
    const found = records.filter((record) => record.kind === kind).at(-1);
    return found === undefined ? null : describeCheckpoint(found);
  };
  return {
    training_run_id: id,
    base_model: model?.facts.baseModel ?? records[0]?.baseModel ?? service.options.modelName,
    model_owner: "local",
    ...loraFacts(model === undefined ? (records.at(-1)?.lora ?? null) : model.facts.lora),
    corrupted: false,
    last_request_time: model?.lastRequestAt.toISOString() ?? records.at(-1)?.savedAt ?? new Date(0).toISOString(),
    last_checkpoint: last("weights"),
    last_sampler_checkpoint: last("sampler_weights"),
    user_metadata: model?.facts.userMetadata ?? records.at(-1)?.userMetadata ?? null,
  };
}

function describeCheckpoint(record: CheckpointRecord) {
  return {
    checkpoint_id: `${record.kind}/${record.name}`,
    checkpoint_type: record.kind === "weights" ? "training" : "sampler",
    time: record.savedAt,
    tinker_path: formatCheckpointPath(record),
    size_bytes: record.bytes,
    public: false,
    expires_at: null,
  };
}

function describeSession(service: TinkerService, id: string) {
  if (!service.sessions.has(id)) throw new HttpError(404, `There is no session ${id}`);
  const models = [...service.models.values()].filter((model) => model.facts.sessionId === id);
  const samplers = [...service.samplingSessions.values()].filter((sampling) => sampling.sessionId === id);
  return {
    training_run_ids: models.map((model) => model.facts.id),
    sampler_ids: samplers.map((sampling) => sampling.id),
  };
}

function page<T>(all: readonly T[], query: URLSearchParams) {
  const number = (key: string, fallback: number) => {
    const value = Number(query.get(key) ?? fallback);
    if (!Number.isInteger(value) || value < 0) throw new BadRequest(`${key}: expected a whole number of at least 0`);
    return value;
  };
  const offset = number("offset", 0);
  const limit = number("limit", 20);
  return { items: all.slice(offset, offset + limit), cursor: { offset, limit, total_count: all.length } };
}

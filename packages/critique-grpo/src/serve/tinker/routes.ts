/** The Tinker protocol below /api/v1. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PROTOBUF_CONTENT_TYPE } from "@critique-grpo/tinker/codec";
import { HttpError } from "../../http/errors.js";
import { decodePathPart, parseJsonObject, type RequestUrl, sendBytes, sendJson } from "../../http/messages.js";
import { LORA_ALPHA, loraFacts } from "../models/adapter-shape.js";
import type { ArchiveLinks } from "./archives.js";
import { jsonJob, passJob, passRequest, samplingSessionId } from "./jobs.js";
import { type JsonObject, optionalString, readInteger, readString } from "./json-body.js";
import { answerListing } from "./listings.js";
import { encodeResult, type PromiseStore } from "./promises.js";
import type { FineTuning, TinkerService } from "./service.js";

/** Shorter than every client's time-out. */
const POLL_MS = 20_000;

const ADAPTERS = `adapters (LoRA, alpha ${LORA_ALPHA}) on attention and MLP; the output matrix has none, whatever train_unembed says`;
/** Told to every client at the start of its session. */
const TRAINS: Readonly<Record<FineTuning, string>> = {
  "as-asked": `${ADAPTERS}. Rank 0 is full fine-tuning`,
  lora: ADAPTERS,
  full: "full fine-tuning; lora_config is accepted and has no effect",
};

export interface TinkerRoutes {
  readonly service: TinkerService;
  readonly promises: PromiseStore;
  readonly links: ArchiveLinks;
}

/** Answers a request whose key has been checked. Throws HttpError. */
export async function answerTinker(
  routes: TinkerRoutes,
  request: IncomingMessage,
  response: ServerResponse,
  url: RequestUrl,
  body: Buffer,
): Promise<void> {
  const { service, promises, links } = routes;
  const path = url.pathname.replace(/^\/api\/v1\//, "").replace(/\/$/, "");
  const method = request.method ?? "GET";
  if (method === "POST") {
    const protobuf = (request.headers["content-type"] ?? "").includes(PROTOBUF_CONTENT_TYPE);
    if (path === "forward" || path === "forward_backward") {
      const pass = passRequest(path, body, protobuf ? undefined : parseJsonObject(body));
      const job = passJob(service, pass);
      return sendJson(response, 200, promises.accept({ key: job.key, route: path, body }, job.start));
    }
    if (protobuf) throw new HttpError(415, `${path} takes JSON`);
    const json = parseJsonObject(body);
    if (path === "retrieve_future") return retrieve(promises, request, response, json);
    const immediate = await answerPost(routes, path, json);
    if (immediate !== undefined) return sendJson(response, 200, immediate);
    const job = jsonJob(service, path, json);
    if (job !== undefined)
      return sendJson(response, 200, promises.accept({ key: job.key, route: path, body }, job.start));
  }
  if (method === "GET" && path === "get_server_capabilities") return sendJson(response, 200, capabilities(service));
  const listed = await answerListing(service, links, method, path, url.searchParams);
  if (listed === undefined) throw new HttpError(404, `${method} /api/v1/${path} is not served here`);
  if (listed.body === undefined) return void response.writeHead(listed.status, listed.headers ?? {}).end();
  sendJson(response, listed.status, listed.body, listed.headers);
}

/** POST routes that answer at once. */
async function answerPost({ service, promises }: TinkerRoutes, path: string, body: JsonObject) {
  switch (path) {
    case "client/config":
      return { pjwt_auth_enabled: false, parallel_fwdbwd_chunks: true, proto_compress_fwdbwd: false };
    case "telemetry":
      return { status: "accepted" };
    case "create_session": {
      const session = service.createSession(Array.isArray(body.tags) ? body.tags : []);
      return {
        type: "create_session",
        session_id: session,
        info_message: `critique-grpo serve: ${TRAINS[service.options.fineTuning]}`,
      };
    }
    case "session_heartbeat":
      service.session(readString(body, "session_id"));
      return { type: "session_heartbeat" };
    case "create_sampling_session": {
      const { id: sessionId } = service.session(readString(body, "session_id"));
      const modelPath = optionalString(body, "model_path");
      if (modelPath !== undefined) service.checkpoint(modelPath);
      else service.checkBaseModel(readString(body, "base_model"));
      const id = samplingSessionId(sessionId, readInteger(body, "sampling_session_seq_id"));
      return {
        type: "create_sampling_session",
        sampling_session_id: service.addSamplingSession({ id, sessionId, modelPath }),
      };
    }
    case "get_info":
      return modelInfo(service, readString(body, "model_id"));
    case "weights_info": {
      const record = service.store.get(readString(body, "tinker_path"));
      return { base_model: record.baseModel, ...loraFacts(record.lora ?? null), type: "weights_info" };
    }
    case "cancel_future":
      promises.cancel(readString(body, "request_id"));
      return { status: "accepted" };
    default: {
      const finished = /^sessions\/([^/]+)\/finish$/.exec(path)?.[1];
      if (finished === undefined) return undefined;
      await service.finishSession(decodePathPart(finished));
      return { status: "finished" };
    }
  }
}

function modelInfo(service: TinkerService, id: string) {
  const { facts } = service.model(id);
  return {
    type: "get_info",
    model_id: id,
    model_data: {
      arch: service.host.info.architecture,
      model_name: facts.baseModel,
      tokenizer_id: service.options.tokenizerId,
    },
    model_name: facts.baseModel,
    ...loraFacts(facts.lora),
    fine_tuning: facts.lora === null ? "full" : "lora",
  };
}

function capabilities(service: TinkerService) {
  const { contextLength } = service.host.info;
  const { fineTuning } = service.options;
  return {
    supported_models: [
      {
        model_name: service.options.modelName,
        max_context_length: contextLength,
        trainable: true,
        sampleable: true,
        fine_tuning: fineTuning === "as-asked" ? ["lora", "full"] : [fineTuning],
        lora: fineTuning !== "full",
      },
    ],
  };
}

async function retrieve(
  promises: PromiseStore,
  request: IncomingMessage,
  response: ServerResponse,
  body: JsonObject,
): Promise<void> {
  const requestId = readString(body, "request_id");
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const result = await promises.wait(requestId, POLL_MS, gone.signal);
  if (result === null)
    return sendJson(response, 200, { type: "try_again", request_id: requestId, queue_state: "active" });
  if ("error" in result) return sendJson(response, 200, result);
  const { contentType, bytes } = encodeResult(result, String(request.headers.accept ?? ""));
  sendBytes(response, 200, contentType, bytes);
}

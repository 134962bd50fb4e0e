/** A Tinker server in this process over a bigram model, and policies on it; its oracle is the tabular policy. */
import { gzipSync } from "node:zlib";
import { type HttpClient, NodeHttpClient, type ServiceClientOptions } from "@critique-grpo/tinker";
import { BigramModel, TestServer, type TestServerOptions } from "@critique-grpo/tinker/testing";
import { engineSchema } from "../config/engine-schema.js";
import type { TinkerEngineConfig, TinkerPolicy } from "../policy/tinker.js";
import { type OpenTinkerOptions, openTinkerPolicy } from "../policy/tinker-open.js";
import { copyCodec } from "./copy-task.js";
import { TabularPolicy } from "./tabular-policy.js";
import { safetensors, tar } from "./tar.js";

/** Tokens of the copy task. */
export const TINKER_VOCABULARY = copyCodec.stopTokens[0]! + 1;

/** Retry times that keep tests short. */
const FAST_RETRY = {
  initialDelayMs: 5,
  maxDelayMs: 20,
  slowInitialDelayMs: 10,
  slowMaxDelayMs: 50,
  submissionTimeoutMs: 5_000,
  requestTimeoutMs: 2_000,
  pollTimeoutMs: 500,
  resultTimeoutMs: 10_000,
};

export function startTinkerServer(options: TestServerOptions = {}): Promise<TestServer> {
  return new TestServer({ vocabulary: TINKER_VOCABULARY, ...options }).start();
}

export function tinkerEngine(
  server: { readonly url: string },
  overrides: Partial<TinkerEngineConfig> = {},
): TinkerEngineConfig {
  const engine = { type: "tinker", baseUrl: server.url, baseModel: "bigram", loraRank: 8, ...overrides };
  return engineSchema.parse(engine) as TinkerEngineConfig;
}

export function openTestPolicy(
  server: TestServer,
  overrides: Partial<TinkerEngineConfig> = {},
  options: OpenTinkerOptions & { readonly client?: Partial<ServiceClientOptions> } = {},
): Promise<TinkerPolicy> {
  const client = { apiKey: "tml-test", retry: FAST_RETRY, env: {}, http: withArchives(server), ...options.client };
  return openTinkerPolicy(tinkerEngine(server, overrides), { ...options, client });
}

/** The test server knows no file formats: its archives are made here, with its logits as the adapter's only tensor. */
function withArchives(server: TestServer): HttpClient {
  const http = new NodeHttpClient({ maxConnections: 64 });
  return {
    send: async (request) => {
      if (!request.url.pathname.startsWith("/archives/")) return http.send(request);
      const entries = [
        { name: "adapter_config.json", content: "{}" },
        { name: "adapter_model.safetensors", content: safetensors([...servedLogits(server)]) },
      ];
      return { status: 200, headers: {}, body: gzipSync(tar(entries)) };
    },
    close: () => http.close(),
  };
}

/** The server's fresh model as a policy whose gradients are exact. */
export function tinkerOracle(): TabularPolicy {
  return new TabularPolicy({ vocabularySize: TINKER_VOCABULARY, logits: new BigramModel(TINKER_VOCABULARY).base });
}

/** Logits of the newest model on the server. */
export function servedLogits(server: TestServer): Float64Array {
  const served = [...server.engine.models.values()].at(-1);
  if (served === undefined) throw new Error("The server has no model");
  const { base, state } = served.model;
  return base.map((value, i) => value + state.weights[i]!);
}

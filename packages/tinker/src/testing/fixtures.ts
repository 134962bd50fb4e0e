import { ServiceClient, type ServiceClientOptions } from "../index.js";
import { float32Tensor, int64Tensor, textInput } from "../protocol/tensors.js";
import type { Datum } from "../protocol/training.js";
import { seededRandom } from "./bigram-model.js";
import { TestServer, type TestServerOptions } from "./test-server.js";

/** Retry times that keep tests short; the shape of the loops is that of the defaults. */
export const FAST_RETRY = {
  initialDelayMs: 5,
  maxDelayMs: 20,
  slowInitialDelayMs: 10,
  slowMaxDelayMs: 50,
  submissionTimeoutMs: 5_000,
  requestTimeoutMs: 2_000,
  pollTimeoutMs: 500,
  resultTimeoutMs: 10_000,
  unreachableTimeoutMs: 2_000,
  billingPauseMs: 10,
  samplingPauseMs: 20,
} as const;

export interface Running {
  readonly server: TestServer;
  readonly client: ServiceClient;
  stop(): Promise<void>;
}

/** A server of the given behaviour and a connected client. */
export async function startPair(server: TestServerOptions = {}, options: ServiceClientOptions = {}): Promise<Running> {
  const running = await new TestServer(server).start();
  const client = await ServiceClient.connect({
    baseUrl: running.url,
    apiKey: "tml-test",
    retry: FAST_RETRY,
    env: {},
    ...options,
  });
  return {
    server: running,
    client,
    stop: async () => {
      await client.close();
      await running.stop();
    },
  };
}

/** A datum for any built-in loss: the sequence's shifted halves plus the named inputs. */
export function datumOf(tokens: readonly number[], inputs: Readonly<Record<string, readonly number[]>>): Datum {
  const tensors = Object.entries(inputs).map(([name, values]) => [name, float32Tensor(values)]);
  return {
    modelInput: textInput(tokens.slice(0, -1)),
    lossFnInputs: { target_tokens: int64Tensor(tokens.slice(1)), ...Object.fromEntries(tensors) },
  };
}

/** Random sequences of different lengths with weights, for gradients that no symmetry makes equal by chance. */
export function randomDatums(
  count: number,
  vocabulary: number,
  seed: number,
  kind: "weights" | "rl" | "bare" = "weights",
): Datum[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const tokens = Array.from({ length: 4 + i }, () => Math.floor(random() * vocabulary));
    const vector = (): number[] => tokens.slice(1).map(() => random() * 2 - 1);
    if (kind === "bare") return datumOf(tokens, {});
    if (kind === "weights") return datumOf(tokens, { weights: vector() });
    return datumOf(tokens, { logprobs: vector().map((value) => value - 2), advantages: vector() });
  });
}

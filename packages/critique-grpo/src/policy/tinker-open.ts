/** From the configuration of a Tinker engine to a policy: connects, checks the model, says what the server can do. */
import {
  AuthenticationError,
  type Dialect,
  type DialectName,
  dialectOf,
  ServiceClient,
  type ServiceClientOptions,
} from "@critique-grpo/tinker";
import { InputError } from "../config/errors.js";
import { didYouMean } from "../config/nearest.js";
import type { PolicyInfo } from "./policy.js";
import { type TinkerEngineConfig, TinkerPolicy } from "./tinker.js";

export interface OpenTinkerOptions {
  /** A reference (KL) will be needed: where it is not certain that the server has one, it is tried. Default false. */
  readonly reference?: boolean;
  /** Messages of the server and the connection for the user. */
  readonly onNotice?: (message: string) => void;
  /** For tests: how the client connects and retries. */
  readonly client?: Partial<ServiceClientOptions>;
}

/**
 * Connects with the API key from TINKER_API_KEY and creates the model. The caller closes the policy.
 * @throws InputError if the server does not have the model, or does not tell a context length that the configuration lacks
 */
export async function openTinkerPolicy(
  engine: TinkerEngineConfig,
  options: OpenTinkerOptions = {},
): Promise<TinkerPolicy> {
  const { onNotice } = options;
  let told = "";
  const service = await ServiceClient.connect({
    baseUrl: engine.baseUrl,
    dialect: engine.dialect,
    serverOptimizer: serverOptimizer(engine),
    ...(onNotice === undefined
      ? {}
      : {
          onNotice: (level, message) => onNotice(`server, ${level}: ${message}`),
          onQueueState: ({ state, reason }) => {
            // Every request under way tells the same.
            const message =
              state === "active" ? "" : `server: waiting, ${state}${reason === undefined ? "" : ` (${reason})`}`;
            if (message !== "" && message !== told) onNotice(message);
            told = message;
          },
        }),
    ...options.client,
  });
  try {
    const contextLength = await checkModel(service, engine);
    const training = await service.createTrainingClient({
      baseModel: engine.baseModel,
      loraRank: engine.loraRank,
      ...(engine.seed === undefined ? {} : { seed: engine.seed }),
    });
    // A SkyRL back end is known only now.
    const { dialect } = service;
    const reference =
      dialect.name !== "skyrl-train" || (options.reference === true && (await canSampleBase(service, engine)));
    return new TinkerPolicy(service, training, engine, describe(engine, dialect, contextLength, reference));
  } catch (error) {
    await service.close();
    throw error;
  }
}

/** What can be said of a server without asking it; `auto` is taken for the hosted service. For dry runs. */
export function plannedTinkerInfo(engine: TinkerEngineConfig): PolicyInfo {
  const name: DialectName = engine.dialect === "auto" ? "hosted" : engine.dialect;
  return describe(engine, dialectOf(name), engine.contextLength ?? Number.POSITIVE_INFINITY, true);
}

/** What a dialect fixes of the optimizer; undefined where a request decides everything. */
export function fixedOptimizer(engine: TinkerEngineConfig, dialect: Dialect): PolicyInfo["fixedOptimizer"] {
  switch (dialect.optimizer) {
    case "all":
      return undefined;
    case "no-clipping":
      return { maxGradNorm: 0 };
    case "learning-rate-only":
      return engine.serverOptimizer;
    default:
      throw new RangeError(`Unknown optimizer support ${String(dialect.optimizer satisfies never)}`);
  }
}

function describe(engine: TinkerEngineConfig, dialect: Dialect, contextLength: number, reference: boolean): PolicyInfo {
  const fixed = fixedOptimizer(engine, dialect);
  return {
    engine: "tinker",
    model: engine.baseModel,
    device: `${new URL(engine.baseUrl).host} (${dialect.name})`,
    contextLength,
    // The protocol tells neither.
    parameterCount: Number.NaN,
    vocabularySize: Number.NaN,
    eosTokenIds: [],
    ...(fixed === undefined ? {} : { fixedOptimizer: fixed }),
    capabilities: {
      exactEntropy: false,
      estimatedEntropy: engine.entropy === "estimate",
      fullFineTuning: engine.loraRank === 0,
      reference,
      staleSamplersSafe: dialect.samplers === "immutable",
      queuesCalls: true,
    },
  };
}

/** The context length to use. Servers may accept a model that they do not serve, so their list is asked first. */
async function checkModel(service: ServiceClient, engine: TinkerEngineConfig): Promise<number> {
  const { supportedModels } = await service.getCapabilities().catch((error: unknown) => {
    if (error instanceof AuthenticationError) throw new InputError(error.message, { cause: error });
    throw error;
  });
  const names = supportedModels.map(({ name }) => name);
  const model = supportedModels.find(({ name }) => name === engine.baseModel);
  if (model === undefined) {
    throw new InputError(
      `engine.baseModel is ${engine.baseModel}, which ${engine.baseUrl} does not serve${didYouMean(engine.baseModel, names)}; it has: ${names.join(", ") || "no model"}`,
    );
  }
  const contextLength = Math.min(
    model.maxContextLength ?? Number.POSITIVE_INFINITY,
    engine.contextLength ?? Number.POSITIVE_INFINITY,
  );
  if (Number.isFinite(contextLength)) return contextLength;
  throw new InputError(
    `${engine.baseUrl} does not tell the context length of ${engine.baseModel}: set engine.contextLength`,
  );
}

/** SkyRL-train samples its base model in some set-ups only. */
async function canSampleBase(service: ServiceClient, { baseModel }: TinkerEngineConfig): Promise<boolean> {
  try {
    const sampler = await service.createSamplingClient({ baseModel });
    await sampler.computeLogprobs([1, 1]);
    return true;
  } catch {
    return false;
  }
}

function serverOptimizer({ serverOptimizer: { beta1, beta2, epsilon, weightDecay, maxGradNorm } }: TinkerEngineConfig) {
  return { beta1, beta2, eps: epsilon, weightDecay, gradClipNorm: maxGradNorm };
}

/** TypeScript client of the Tinker training API. See the package's README for a tour. */
export type { ServiceClientOptions } from "./clients/config.js";
export type { CustomLoss, CustomLossResult } from "./clients/custom-loss.js";
export { SKYRL_TRAIN_OPTIMIZER } from "./clients/optimizer-check.js";
export type { Archive, Page, PageOptions, RestClient } from "./clients/rest-client.js";
export type { SampleCall, SamplingClient } from "./clients/sampling-client.js";
export type { SavedWeights } from "./clients/saving.js";
export type { CreateModelOptions, ServerCapabilities } from "./clients/service-client.js";
export { ServiceClient } from "./clients/service-client.js";
export type { CallLimits, ForwardBackwardOptions, ModelInfo, TrainingClient } from "./clients/training-client.js";
export { type Dialect, type DialectName, dialectOf } from "./dialect/dialect.js";
export { type TokenLosses, tokenLosses } from "./dialect/token-losses.js";
export * from "./errors.js";
export type { ApiFuture } from "./futures/api-future.js";
export type { QueueState } from "./futures/future-poller.js";
export * from "./protocol/index.js";
export { type CredentialSource, commandCredential, staticCredential } from "./transport/credentials.js";
export { type HttpClient, type HttpRequest, type HttpResponse, NodeHttpClient } from "./transport/http-client.js";
export type { RetryOptions } from "./transport/retry-policy.js";

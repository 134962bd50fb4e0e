/** A Tinker server and a faulty proxy in this process, for tests of anything that talks the protocol. */
export { BigramModel, copyState, seededRandom, type TrainingState } from "./bigram-model.js";
export { type Fault, FaultProxy } from "./fault-proxy.js";
export { datumOf, FAST_RETRY, type Running, randomDatums, startPair } from "./fixtures.js";
export { TestEngine } from "./test-engine.js";
export { type Executed, Refusal, type ServerBehaviour } from "./test-engine-types.js";
export { TestServer, type TestServerOptions } from "./test-server.js";

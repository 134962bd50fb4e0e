/** A Tinker server and a faulty proxy in this process, for tests of anything that talks the protocol. */
export { BigramModel, copyState, seededRandom, type TrainingState } from "./bigram-model.js";
export { type Fault, FaultProxy } from "./fault-proxy.js";
export { type Executed, Refusal, type ServerBehaviour, TestEngine } from "./test-engine.js";
export { TestServer, type TestServerOptions } from "./test-server.js";

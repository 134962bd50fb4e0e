import { availableParallelism } from "node:os";
import { libraryFacts } from "./native-library.js";

/** What `doctor` says about the engine on this machine. */
export interface RuntimeInfo {
  readonly libraryPath: string;
  readonly version: string;
  /** Execution providers that the library contains, as ONNX Runtime names them. */
  readonly providers: readonly string[];
  /** Threads of the pool that all sessions share: of the running pool, or what it would have by default. */
  readonly threads: number;
}

/**
 * Loads the library (no session, no threads) and describes it.
 * @throws Error that says what is supported if there is no library for this platform.
 */
export function runtimeInfo(): RuntimeInfo {
  const facts = libraryFacts();
  return {
    libraryPath: facts.path,
    version: facts.version,
    providers: facts.providers,
    threads: facts.threads ?? availableParallelism(),
  };
}

/** What a checkpoint of a run on a Tinker server holds: where the state lies on the server, and what it belongs to. */
import { join } from "node:path";
import { InputError } from "../config/errors.js";
import { readIfPresent, writeFileAtomic } from "../run/files.js";

const STATE_FILE = "policy.json";
const SCHEMA_VERSION = 1;

export interface TinkerState {
  readonly schemaVersion: number;
  readonly engine: "tinker";
  /** `tinker://` path of weights and optimizer state. */
  readonly path: string;
  /** Optimizer steps that changed the weights. */
  readonly version: number;
  readonly baseModel: string;
  readonly loraRank: number;
  readonly baseUrl: string;
}

export function writeTinkerState(
  directory: string,
  state: Omit<TinkerState, "schemaVersion" | "engine">,
): Promise<void> {
  const content: TinkerState = { schemaVersion: SCHEMA_VERSION, engine: "tinker", ...state };
  return writeFileAtomic(join(directory, STATE_FILE), `${JSON.stringify(content, null, 2)}\n`);
}

/** @throws InputError if there is no such state, or it is of another model. */
export async function readTinkerState(
  directory: string,
  model: Pick<TinkerState, "baseModel" | "loraRank">,
): Promise<TinkerState> {
  const file = join(directory, STATE_FILE);
  const content = await readIfPresent(file);
  if (content === null) throw new InputError(`${file} is missing: this is no checkpoint of a run on a Tinker server`);
  let state: Partial<TinkerState>;
  try {
    state = JSON.parse(content) as Partial<TinkerState>;
  } catch (error) {
    throw new InputError(`${file} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (state.engine !== "tinker" || typeof state.path !== "string") {
    throw new InputError(`${file} is not of the Tinker engine: a run continues on the engine it was started on`);
  }
  if (state.schemaVersion !== SCHEMA_VERSION) {
    throw new InputError(`${file} has schema version ${state.schemaVersion}; this program reads ${SCHEMA_VERSION}`);
  }
  if (state.baseModel !== model.baseModel || state.loraRank !== model.loraRank) {
    throw new InputError(
      `${file} is of ${state.baseModel} with LoRA rank ${state.loraRank}, the configuration names ${model.baseModel} with rank ${model.loraRank}`,
    );
  }
  if (!Number.isSafeInteger(state.version) || state.version! < 0) {
    throw new InputError(`${file}: version is ${state.version}, a count of optimizer steps is needed`);
  }
  return state as TinkerState;
}

import { InvalidArgumentError } from "../errors.js";

/** A checkpoint's address, `tinker://<run>/weights|sampler_weights/<name>`. */
export interface CheckpointPath {
  readonly runId: string;
  readonly kind: "weights" | "sampler_weights";
  readonly name: string;
}

/**
 * Reads a checkpoint path. SkyRL shortens sampler paths to `tinker://<run>/<name>`; that form is read as sampler weights.
 * Throws {@link InvalidArgumentError} for anything else.
 */
export function parseCheckpointPath(path: string): CheckpointPath {
  const match = /^tinker:\/\/([^/]+)\/(?:(weights|sampler_weights)\/)?([^/]+)$/.exec(path);
  if (match === null) {
    throw new InvalidArgumentError(
      `"${path}" is not a checkpoint path; expected tinker://<run>/weights/<name> or tinker://<run>/sampler_weights/<name>`,
    );
  }
  return { runId: match[1]!, kind: match[2] === "weights" ? "weights" : "sampler_weights", name: match[3]! };
}

/** The canonical text of a checkpoint path. */
export function formatCheckpointPath(path: CheckpointPath): string {
  return `tinker://${path.runId}/${path.kind}/${path.name}`;
}

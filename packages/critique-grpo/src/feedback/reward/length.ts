/** The `length` reward: a penalty that grows as a response nears the longest one allowed. */
import { InputError } from "../../config/errors.js";
import { readOptions } from "./options.js";
import type { RewardFunction } from "./reward.js";

/**
 * 1 up to `target` tokens, then falling linearly to 0 at `limit` tokens, 0 beyond and for a response that was cut off
 * (the shape of DAPO's soft overlong punishment, arXiv 2503.14476 eq. 13, moved to [0, 1]). Both options are required.
 */
export const length: RewardFunction = ({ tokens, stopReason }, options) => {
  const { target, limit } = readOptions("length", options, {
    target: { type: "number", minimum: 0 },
    limit: { type: "number", minimum: 1 },
  });
  if (limit <= target) {
    throw new InputError(`Options of reward "length": limit ${limit} must be greater than target ${target}`);
  }
  if (stopReason === "length" && tokens.length > 0) return 0;
  return Math.min(1, Math.max(0, (limit - tokens.length) / (limit - target)));
};

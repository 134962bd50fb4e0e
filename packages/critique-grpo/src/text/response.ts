import type { TextCodec } from "../policy/policy.js";

/**
 * Token ids of a text that was written, not sampled, as a response to learn: it ends in the codec's first stop token, so
 * that the model learns to stop.
 */
export function encodeResponse(codec: TextCodec, text: string): number[] {
  const response = codec.encode(text);
  const stop = codec.stopTokens[0];
  if (stop !== undefined && !codec.stopTokens.includes(response.at(-1) ?? -1)) response.push(stop);
  return response;
}

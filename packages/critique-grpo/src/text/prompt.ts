import type { ChatMessage } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";

/**
 * Token ids of what the policy is asked: messages through the chat template, a plain string as it is, with the special
 * tokens that the tokenizer puts around a text (BOS).
 */
export function encodePrompt(codec: TextCodec, prompt: readonly ChatMessage[] | string): number[] {
  return typeof prompt === "string" ? codec.encode(prompt, { addSpecialTokens: true }) : codec.encodeChat(prompt);
}

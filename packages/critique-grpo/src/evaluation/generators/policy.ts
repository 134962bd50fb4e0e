/** Responses of a policy: the embedded engine, or the model in training on a server. */
import type { Policy, TextCodec } from "../../policy/policy.js";
import { encodePrompt } from "../../text/prompt.js";
import type { ResponseGenerator } from "./generator.js";

/**
 * Sample i of a request depends on its seed and on i alone. Where some samples of a question are wanted, those before
 * them are drawn as well and dropped: prompts are prefilled once a question, which is worth more.
 */
export function policyGenerator(policy: Policy, codec: TextCodec): ResponseGenerator {
  return {
    async *generate(requests, options = {}) {
      const sampleRequests = requests.map(({ question, samples, ...sampling }) => ({
        ...sampling,
        prompt: encodePrompt(codec, question.prompt),
        count: samples.at(-1)! + 1,
        stopTokens: codec.stopTokens,
      }));
      for await (const sequence of policy.sample(sampleRequests, options)) {
        const { requestIndex, sampleIndex: sample, tokens, stopReason } = sequence;
        if (!requests[requestIndex]!.samples.includes(sample)) continue;
        yield { requestIndex, sample, text: codec.decode(tokens), tokens, length: tokens.length, stopReason };
      }
    },
  };
}

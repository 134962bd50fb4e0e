import { describe, expect, it } from "vitest";
import type { Question } from "../data/question.js";
import type { Policy, SampledSequence, SampleRequest, TextCodec } from "../policy/policy.js";
import { evaluate } from "./evaluate.js";
import type { EvaluationOptions } from "./types.js";

/** Characters are their codes; "." ends a response. */
const codec: TextCodec = {
  encode: (text) => [...text].map((character) => character.charCodeAt(0)),
  decode: (tokens) => String.fromCharCode(...tokens.filter((token) => token !== 46)),
  encodeChat: (messages) => [...(messages.at(-1)?.content ?? "")].map((character) => character.charCodeAt(0)),
  stopTokens: [46],
};

/** Answers "r" (right) in the first `k` of the samples of a question "k", and with "w" in the others. */
function policy(seen: SampleRequest[] = []): Policy {
  return {
    async *sample(requests: readonly SampleRequest[]): AsyncIterable<SampledSequence> {
      seen.push(...requests);
      // Last first: the order of arrival must not matter.
      for (const [requestIndex, { prompt, count, temperature }] of [...requests.entries()].reverse()) {
        const rights = prompt[0]! - 48;
        for (let sampleIndex = count - 1; sampleIndex >= 0; sampleIndex--) {
          const right = temperature === 0 ? rights >= 2 : sampleIndex < rights;
          const cut = rights === 0;
          const tokens = [right ? 114 : 119, cut ? 35 : 46];
          const stopReason = cut ? ("length" as const) : ("stop" as const);
          yield { requestIndex, sampleIndex, tokens, logprobs: new Float32Array(2), stopReason, policyVersion: 0 };
        }
      }
    },
  } as unknown as Policy;
}

function question(rights: number, dataSource: string): Question {
  return { id: `${dataSource}${rights}`, dataSource, text: "", prompt: String(rights), gold: "r", metadata: {} };
}

const questions = [question(0, "hard"), question(1, "hard"), question(4, "easy"), question(2, "easy")];
const options: EvaluationOptions = {
  score: ({ gold }, { text }) => ({ value: text === gold ? 1 : 0, correct: text === gold, parts: {} }),
  samples: 4,
  temperature: 1,
  maxTokens: 2,
  seed: 5,
};

describe("evaluate", () => {
  it("averages pass@1 over samples, estimates pass@k, and splits by source", async () => {
    const { summary } = await evaluate(policy(), codec, questions, { ...options, greedy: true });
    expect(summary).toMatchObject({
      dataSource: "all",
      questions: 4,
      samples: 4,
      persistentFailures: 1,
      meanReward: 7 / 16,
    });
    expect(summary.pass1.value).toBeCloseTo(7 / 16);
    // 1 − C(n−c, 2)/C(n, 2) for c = 0, 1, 4, 2 of n = 4.
    expect(summary.passAt.map(({ k, value }) => [k, value])).toEqual([
      [1, expect.closeTo(7 / 16)],
      [2, expect.closeTo((0 + 1 / 2 + 1 + 5 / 6) / 4)],
      [4, expect.closeTo(3 / 4)],
    ]);
    expect(summary.greedy?.value).toBeCloseTo(1 / 2);
    expect(
      summary.sources.map(({ dataSource, persistentFailures, pass1 }) => [dataSource, persistentFailures, pass1.value]),
    ).toEqual([
      ["hard", 1, 1 / 8],
      ["easy", 0, 3 / 4],
    ]);
    expect(summary).toMatchObject({
      lengths: { mean: 2, min: 2, max: 2 },
      truncated: 1 / 4,
      generatedTokens: 40,
      rewardFailures: 0,
    });
  });

  it("keeps every response with its question, whatever order they come in", async () => {
    const { questions: evaluated } = await evaluate(policy(), codec, questions, options);
    expect(
      evaluated.map(({ question: { id }, responses }) => [id, responses.map(({ text }) => text).join("")]),
    ).toEqual([
      ["hard0", "w#w#w#w#"],
      ["hard1", "rwww"],
      ["easy4", "rrrr"],
      ["easy2", "rrww"],
    ]);
  });

  it("asks for the same whatever the batch size is", async () => {
    const requests = async (batchSequences: number) => {
      const seen: SampleRequest[] = [];
      await evaluate(policy(seen), codec, questions, { ...options, batchSequences });
      return seen;
    };
    expect(await requests(1)).toEqual(await requests(100));
    expect(new Set((await requests(8)).map(({ seed }) => seed)).size).toBe(4);
  });

  it("counts failed rewards as wrong, and reports progress", async () => {
    const score = () => ({ value: 0, correct: false, parts: {}, failure: "broken" });
    const progress: number[] = [];
    const onProgress = (done: number, total: number) => progress.push(done / total);
    const { summary } = await evaluate(policy(), codec, questions, { ...options, score, onProgress });
    expect(summary).toMatchObject({ rewardFailures: 16, persistentFailures: 4 });
    expect(progress).toHaveLength(16);
    expect(progress.at(-1)).toBe(1);
  });

  it("refuses what makes no sense, and stops when it is told", async () => {
    await expect(evaluate(policy(), codec, [], options)).rejects.toThrow("at least one question");
    await expect(evaluate(policy(), codec, questions, { ...options, temperature: 0 })).rejects.toThrow(
      "all samples are the same",
    );
    await expect(evaluate(policy(), codec, questions, { ...options, samples: 0 })).rejects.toThrow(
      "samples must be an integer",
    );
    const signal = AbortSignal.abort();
    await expect(evaluate(policy(), codec, questions, { ...options, signal })).rejects.toThrow(/abort/i);
  });
});

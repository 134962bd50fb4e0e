import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type RunConfigInput, runSchema } from "../config/schema.js";
import type { Critic } from "../feedback/critique/critic.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer } from "../feedback/reward/reward.js";
import { collectGroups } from "../testing/collect-groups.js";
import { copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions, copyRewards } from "../testing/copy-task.js";
import type { Refinement, Response } from "./records.js";
import type { RolloutContext } from "./sampling.js";
import { batchIndices, deriveSeed, seededPermutation } from "./seeds.js";
import { Stopwatch } from "./stopwatch.js";

function context(overrides: Partial<RunConfigInput> = {}, rest: Partial<RolloutContext> = {}): RolloutContext {
  return {
    config: runSchema.parse(copyConfig(overrides)),
    policy: copyPolicy(),
    codec: copyCodec,
    score: createScorer(copyRewards, 0.5),
    critic: createProgramCritic(copyCritique),
    step: 0,
    stopwatch: new Stopwatch(),
    ...rest,
  };
}

const five = { algorithm: { initialResponses: 5 } };
const refinement = (count: number, more: object = {}) => ({ ...copyConfig().refinement, count, ...more });

describe("a rollout", () => {
  it("adds the selected refinements to all initial responses: 5 + 1 is a group of 6", async () => {
    const groups = await collectGroups(copyQuestions, context(five));
    for (const group of groups) {
      expect(group.initial).toHaveLength(5);
      expect(group.members.map(({ response }) => response.kind)).toEqual([...Array(5).fill("initial"), "refinement"]);
      const rewards = group.members.map(({ response }) => (response as Response).reward.value);
      const center = rewards.reduce((sum, value) => sum + value, 0) / 6;
      expect(group.members.map(({ advantage }) => advantage)).toEqual(rewards.map((value) => value - center));
    }
  });

  it("keeps the sampled tokens and logprobs of a refinement, and the bare question as the context of the loss", async () => {
    const policy = copyPolicy();
    const [group] = await collectGroups(copyQuestions.slice(2, 3), context({}, { policy }));
    const response = group!.members.at(-1)!.response as Refinement;
    expect(group!.prompt).toEqual(copyCodec.encode("c"));
    expect(response.samplingPrompt).toEqual(copyCodec.encode(`c${group!.initial[0]!.text}X7`));
    const [again] = await policy.logprobs([{ prompt: response.samplingPrompt, response: response.tokens }]);
    expect(response.logprobs).toEqual(again!.logprobs);
  });

  it("refines no more than needed, and selects what refining all selects", async () => {
    for (const count of [1, 2]) {
      const settings = { ...five, sampling: { maxTokens: 1 } };
      const early = await collectGroups(copyQuestions, context({ ...settings, refinement: refinement(count) }));
      const all = await collectGroups(
        copyQuestions,
        context({ ...settings, refinement: refinement(count, { stopWhenFound: false }) }),
      );
      expect(all.every((group) => group.refinements.length === 5)).toBe(true);
      expect(early.flatMap((group) => group.refinements).length).toBeLessThan(copyQuestions.length * 5);
      for (const [i, group] of early.entries()) {
        expect(group.members).toEqual(
          all[i]!.members.map((member) => expect.objectContaining({ advantage: member.advantage })),
        );
        const kept = (members: typeof group.members) =>
          members.filter(({ response }) => response.kind === "refinement").map(({ response }) => response);
        expect(kept(group.members)).toEqual(kept(all[i]!.members));
        // What was refined in both runs is the same draw.
        expect(group.refinements).toEqual(all[i]!.refinements.slice(0, group.refinements.length));
      }
    }
  });

  it("refines more responses of a question in each round, and selects the same", async () => {
    const settings = { ...five, sampling: { maxTokens: 1 } };
    const rounds = async (roundGrowth: number) => {
      const policy = copyPolicy();
      const sizes: number[] = [];
      const sample = policy.sample.bind(policy);
      policy.sample = (requests, options) => {
        sizes.push(requests.length);
        return sample(requests, options);
      };
      const groups = await collectGroups(
        copyQuestions,
        context({ ...settings, refinement: refinement(2, { roundGrowth }) }, { policy }),
      );
      // The first call drew the initial responses.
      return { groups, sizes: sizes.slice(1) };
    };
    const single = await rounds(1);
    const wide = await rounds(2);
    expect(wide.sizes.slice(0, 2)).toEqual([copyQuestions.length, 2 * copyQuestions.length]);
    expect(wide.sizes.length).toBeLessThan(single.sizes.length);
    for (const [i, group] of wide.groups.entries()) {
      const other = single.groups[i]!;
      expect(group.refinements.slice(0, other.refinements.length)).toEqual(other.refinements);
      expect(group.members.map(({ response, advantage }) => [response.tokens, advantage])).toEqual(
        other.members.map(({ response, advantage }) => [response.tokens, advantage]),
      );
    }
  });

  it("asks a slow critic ahead, for the same groups; what was not needed is recorded if it cost something", async () => {
    const asked: number[] = [];
    const written = (ahead: number): Critic => ({
      ahead,
      async critique(requests) {
        asked.push(requests.length);
        await setImmediate();
        return requests.map((request) => ({ kind: "teacher", text: copyCritique(request) as string, prompt: "?" }));
      },
    });
    const settings = { ...five, sampling: { maxTokens: 1 }, refinement: refinement(1, { roundGrowth: 1 }) };
    const [plain, ahead] = [
      await collectGroups(copyQuestions, context(settings, { critic: written(0) })),
      await collectGroups(copyQuestions, context(settings, { critic: written(2) })),
    ];
    const withoutCritiques = (groups: typeof plain) =>
      groups.map(({ initial, members, ...group }) => ({
        ...group,
        initial: initial.map(({ critique: _, ...response }) => response),
        members: members.map(({ response, advantage }) => [response.tokens, response.kind, advantage]),
      }));
    expect(withoutCritiques(ahead)).toEqual(withoutCritiques(plain));
    const critiques = (groups: typeof plain) =>
      groups.map(({ initial, refinements }) => [initial.filter(({ critique }) => critique).length, refinements.length]);
    expect(critiques(plain).every(([written, refined]) => written === refined)).toBe(true);
    // Two more than were needed, or all five.
    expect(critiques(ahead).every(([written, refined]) => written === Math.min(5, refined! + 2))).toBe(true);
    expect(asked.slice(0, 3)).not.toContain(0);
  });

  it("leaves no rejection behind when sampling fails while a critic is asked ahead", async () => {
    const critic: Critic = {
      ahead: 1,
      critique: async (requests) => {
        await setImmediate();
        if (requests[0]!.response.index === 1) throw new Error("too late");
        return requests.map(() => ({ kind: "teacher", text: "X7" }));
      },
    };
    const policy = copyPolicy();
    let calls = 0;
    const sample = policy.sample.bind(policy);
    policy.sample = (requests, options) => {
      if (++calls === 2) throw new Error("engine failure");
      return sample(requests, options);
    };
    await expect(collectGroups(copyQuestions, context({}, { critic, policy }))).rejects.toThrow("engine failure");
    await setImmediate();
    await setImmediate();
  });

  it("draws the same for a question alone as among others, and anew in the next step", async () => {
    const together = await collectGroups(copyQuestions, context());
    const [alone] = await collectGroups(copyQuestions.slice(3, 4), context());
    expect(alone).toEqual(together[3]);
    const [next] = await collectGroups(copyQuestions.slice(3, 4), context(five, { step: 1 }));
    const tokens = (group: typeof next) => group!.initial.slice(0, 3).map((response) => response.tokens);
    expect(tokens(next)).not.toEqual(tokens(alone));
  });

  it("draws twice where a batch holds a question twice", async () => {
    const question = copyQuestions[0]!;
    const [first, second] = await collectGroups([question, question], context(five));
    expect(first!.initial.map((response) => response.text)).not.toEqual(
      second!.initial.map((response) => response.text),
    );
  });

  it("gives no end-of-sequence token to a response that was cut off", async () => {
    const groups = await collectGroups(copyQuestions, context({ sampling: { maxTokens: 2 } }));
    const responses = groups.flatMap((group) => [...group.initial, ...group.refinements]);
    const stop = copyCodec.stopTokens[0];
    expect(responses.some((response) => response.stopReason === "length")).toBe(true);
    for (const { tokens, stopReason } of responses) expect(tokens.at(-1) === stop).toBe(stopReason === "stop");
  });

  it("leaves a response unrefined, visibly, where the refinement prompt does not fit", async () => {
    const groups = await collectGroups(copyQuestions, context({}, { policy: copyPolicy({ contextLength: 4 }) }));
    for (const group of groups) {
      expect(group.refinements).toEqual([]);
      expect(group.members).toHaveLength(3);
      expect(group.initial[0]!.refinementSkipped).toBe(
        "the refinement prompt of 4 tokens and 1 tokens of response need 5, the context holds 4",
      );
      expect(group.initial[0]!.critique).toBeDefined();
    }
  });

  it("cuts a critique, visibly, that leaves no room for the refinement", async () => {
    const critic = createProgramCritic(({ question }) => question.gold.repeat(100));
    const policy = copyPolicy({ contextLength: 64 });
    const [group] = await collectGroups(copyQuestions.slice(0, 1), context({}, { critic, policy }));
    const [refined] = group!.initial;
    // Question and response take 2 tokens, the refinement 1: this alphabet has no mark to set.
    expect(refined!.critique).toEqual({ kind: "program", text: group!.question.gold.repeat(61), cutFrom: 100 });
    expect(group!.refinements[0]!.samplingPrompt).toHaveLength(63);
    expect(refined!.refinementSkipped).toBeUndefined();
  });

  it("leaves a response unrefined, visibly, where the tokenizer refuses the refinement prompt", async () => {
    // The sentence of simple_gt has characters that this alphabet lacks.
    const critic = createProgramCritic(() => "");
    const [group] = await collectGroups(copyQuestions.slice(0, 1), context({}, { critic }));
    expect(group!.initial[0]!.refinementSkipped).toContain("cannot be encoded");
    expect(group!.members).toHaveLength(3);
  });

  it("goes on where rewards and critics fail, and keeps the reasons", async () => {
    const score = createScorer([{ name: "broken", score: () => Number.NaN }], 0.5);
    const critic = createProgramCritic(() => {
      throw new Error("no idea");
    });
    const template = "{question}{response}X{critique}";
    // The fallback is a sentence: here every character is a token.
    const codec = { ...copyCodec, encode: (text: string) => [...text].map((character) => character.charCodeAt(0) % 8) };
    const settings = context(
      { refinement: { count: 1, template } },
      { score, critic, codec, policy: copyPolicy({ contextLength: 128 }) },
    );
    const [group] = await collectGroups(copyQuestions.slice(0, 1), settings);
    expect(group!.initial[0]!.reward).toMatchObject({ value: 0, correct: false });
    expect(group!.initial[0]!.reward.failure).toContain("returned NaN");
    expect(group!.initial[0]!.critique).toMatchObject({ kind: "simple_gt" });
    expect(group!.initial[0]!.critique!.failure).toContain("no idea");
    expect(group!.members).toHaveLength(4);
  });

  it("keeps wrong refinements out with onlyCorrect", async () => {
    const never = createScorer([{ name: "never", score: () => 0 }], 0.5);
    const settings = { refinement: refinement(1, { onlyCorrect: true }) };
    const groups = await collectGroups(copyQuestions, context(settings, { score: never }));
    expect(groups.every((group) => group.refinements.length === 3 && group.members.length === 3)).toBe(true);
  });

  it("stops when it is told to", async () => {
    const signal = AbortSignal.abort();
    await expect(collectGroups(copyQuestions, context({}, { signal }))).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("seeds", () => {
  it("name a draw by all of its parts", () => {
    expect(deriveSeed(0, 1, "a")).toBe(deriveSeed(0, 1, "a"));
    expect(
      new Set([deriveSeed(0, 1, "a"), deriveSeed(0, 11, "a"), deriveSeed(0, "1", "a"), deriveSeed(0, 1, "a", 0)]).size,
    ).toBe(4);
  });

  it("permute", () => {
    const order = seededPermutation(100, 7);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(order).toEqual(seededPermutation(100, 7));
    expect(order).not.toEqual(seededPermutation(100, 8));
  });

  it("visit every row once an epoch, in an order of its own, across batches", () => {
    const visited = Array.from({ length: 10 }, (_, step) => batchIndices(3, step, 4, 20)).flat();
    const sorted = (list: number[]) => [...list].sort((a, b) => a - b);
    expect(sorted(visited.slice(0, 20))).toEqual(sorted(visited.slice(20)));
    expect(new Set(visited.slice(0, 20)).size).toBe(20);
    expect(visited.slice(0, 20)).not.toEqual(visited.slice(20));
    // A batch may be larger than the data set.
    expect(batchIndices(3, 0, 7, 3)).toHaveLength(7);
  });
});

/**
 * What each preset trains on and the loss it gives, against formulas that are written out here: the equations of the
 * papers that docs/algorithm.md names.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { merge } from "../config/merge.js";
import { type PresetName, presets } from "../config/presets.js";
import { type RunConfig, type RunConfigInput, runSchema } from "../config/schema.js";
import type { Question } from "../data/question.js";
import { createProgramCritic } from "../feedback/critique/program.js";
import { createScorer, type WeightedReward } from "../feedback/reward/reward.js";
import type { InitialResponse, Refinement, TrainingGroup } from "../rollout/records.js";
import { Stopwatch } from "../rollout/stopwatch.js";
import type { RunEvent } from "../run/events.js";
import { collectGroups } from "../testing/collect-groups.js";
import { COPY_TEMPLATE, copyCodec, copyConfig, copyCritique, copyPolicy, copyQuestions } from "../testing/copy-task.js";
import type { TabularPolicy } from "../testing/tabular-policy.js";
import { train } from "./train.js";
import { updatePolicy } from "./update.js";

const MAX_TOKENS = 4;
const GAMMA = 0.1;

const questions: readonly Question[] = copyQuestions.map((question) => ({ ...question, solution: question.gold }));

/** Right as soon as the first token is: the task's own reward would call every response of several tokens wrong. */
const rewards: readonly WeightedReward[] = [
  { name: "starts right", score: ({ question, text }) => (text.startsWith(question.gold) ? 1 : 0) },
];

/** The preset on the copy task, without the entropy bonus: formulas below are those of the policy term. */
function configure(preset: PresetName): RunConfig {
  const task: Partial<RunConfigInput> = {
    ...copyConfig(),
    miniBatches: 1,
    sampling: { maxTokens: MAX_TOKENS },
    critique: undefined,
    refinement: { template: COPY_TEMPLATE },
    group: { critiqueTemplate: "{question}{response}" },
    algorithm: { entropyCoefficient: 0 },
  } as Partial<RunConfigInput>;
  const input = merge(presets[preset], task) as RunConfigInput;
  const program = { critique: { type: "program", module: "unused" } } as const;
  return runSchema.parse(input.critique?.type === "program" ? { ...input, ...program } : input);
}

interface Collected {
  readonly config: RunConfig;
  readonly groups: readonly TrainingGroup[];
  readonly policy: TabularPolicy;
}

async function collect(preset: PresetName): Promise<Collected> {
  const config = configure(preset);
  const policy = copyPolicy();
  // The words of simple critics are not in the task's alphabet; here who writes them does not matter.
  const critic = createProgramCritic(copyCritique);
  const score = createScorer(rewards, 0.5);
  const context = { config, policy, codec: copyCodec, score, critic, step: 0, stopwatch: new Stopwatch() };
  return { config, policy, groups: await collectGroups(questions, context) };
}

/** The loss of the preset's one mini-batch, with the weights that sampled. */
async function lossOf({ config, groups, policy }: Collected): Promise<number> {
  const context = { config, policy, optimizerSteps: 0, stopwatch: new Stopwatch() };
  return (await updatePolicy(groups, context)).loss.value;
}

type Answer = InitialResponse | Refinement;

const rewardsOf = (answers: readonly Answer[]) => answers.map(({ reward }) => reward.value);
const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const right = <R extends Answer>(answers: readonly R[]) => answers.filter(({ reward }) => reward.correct);

/** log π(token | question …) of a response to the bare question. */
function logprobs(policy: TabularPolicy, prompt: readonly number[], tokens: readonly number[]): number[] {
  return tokens.map((token, t) => Math.log(policy.probabilities(t === 0 ? prompt.at(-1)! : tokens[t - 1]!)[token]!));
}

describe("policy-gradient baselines", () => {
  it("grpo: −Σ A T_i / Σ T with A = (R − mean) / (std + 1e-6): at π = π_old every ratio is 1", async () => {
    const run = await collect("grpo");
    let weighted = 0;
    let tokens = 0;
    for (const { initial, members } of run.groups) {
      expect(members.map(({ response }) => response)).toEqual(initial);
      expect(initial).toHaveLength(8);
      const rewards = rewardsOf(initial);
      const center = average(rewards);
      const deviation = Math.sqrt(rewards.reduce((sum, r) => sum + (r - center) ** 2, 0) / 7);
      for (const { reward, tokens: response } of initial) {
        weighted += ((reward.value - center) / (deviation + 1e-6)) * response.length;
        tokens += response.length;
      }
    }
    expect(await lossOf(run)).toBeCloseTo(-weighted / tokens, 6);
  });

  it("dr-grpo: −Σ (R − mean) T_i / (N · longest response)", async () => {
    const run = await collect("dr-grpo");
    let weighted = 0;
    for (const { initial } of run.groups) {
      const center = average(rewardsOf(initial));
      for (const { reward, tokens } of initial) weighted += (reward.value - center) * tokens.length;
    }
    expect(await lossOf(run)).toBeCloseTo(-weighted / (8 * 8 * MAX_TOKENS), 6);
  });

  it.each([
    ["critique-grpo", 7, 1],
    ["critique-grpo-simple", 7, 1],
    ["critique-grpo-text", 7, 1],
    ["critique-grpo-no-shaping", 7, 1],
    ["critique-grpo-no-selection", 7, 1],
    ["critique-grpo-refinements-only", 0, 8],
    ["critique-grpo-k2", 6, 2],
  ] as const)("%s: −Σ A r − Σ A f(p) over %d initial responses and %d refinements", async (preset, m, k) => {
    const run = await collect(preset);
    let weighted = 0;
    for (const { prompt, initial, members } of run.groups) {
      const kept = members.map(({ response }) => response as Answer);
      expect(kept.filter(({ kind }) => kind === "initial")).toEqual(m === 0 ? [] : initial);
      expect(kept.filter(({ kind }) => kind === "refinement")).toHaveLength(k);
      const center = average(rewardsOf(kept));
      for (const { kind, reward, tokens } of kept) {
        const terms = logprobs(run.policy, prompt, tokens).map((logprob) => {
          const p = Math.exp(logprob);
          if (kind === "initial") return 1;
          return preset === "critique-grpo-no-shaping" ? p : p / (p + GAMMA);
        });
        weighted += (reward.value - center) * terms.reduce((sum, term) => sum + term, 0);
      }
    }
    expect(await lossOf(run)).toBeCloseTo(-weighted / (8 * (m + k) * MAX_TOKENS), 6);
  });

  it("critique-grpo-no-selection keeps a refinement that a seed chose, right or wrong, and draws no other", async () => {
    const { groups } = await collect("critique-grpo-no-selection");
    expect(groups.every(({ refinements }) => refinements.length === 1)).toBe(true);
    const chosen = groups.map(({ refinements }) => refinements[0]!);
    expect(new Set(chosen.map(({ refines }) => refines)).size).toBeGreaterThan(2);
    expect(new Set(chosen.map(({ reward }) => reward.correct))).toEqual(new Set([true, false]));
  });

  it("luffy: the reference solution with its end is the eighth of the group, f(p) its term", async () => {
    const run = await collect("luffy");
    let weighted = 0;
    for (const { question, prompt, initial, refinements, members } of run.groups) {
      expect(refinements).toEqual([]);
      const expert = members.at(-1)!.response;
      expect(expert).toMatchObject({ kind: "expert", text: question.gold, reward: { value: 1, correct: true } });
      expect(expert.tokens).toEqual([...copyCodec.encode(question.gold), copyCodec.stopTokens[0]]);
      const center = average([...rewardsOf(initial), 1]);
      for (const { reward, tokens } of initial) weighted += (reward.value - center) * tokens.length;
      for (const logprob of logprobs(run.policy, prompt, expert.tokens)) {
        weighted += (1 - center) * (Math.exp(logprob) / (Math.exp(logprob) + GAMMA));
      }
    }
    expect(await lossOf(run)).toBeCloseTo(-weighted / (8 * 8 * MAX_TOKENS), 6);
  });
});

describe("supervised baselines", () => {
  /** −Σ log p / tokens: cross-entropy as PyTorch's `cross_entropy` averages it. */
  function crossEntropy(
    policy: TabularPolicy,
    targets: readonly { prompt: readonly number[]; tokens: readonly number[] }[],
  ) {
    const all = targets.flatMap(({ prompt, tokens }) => logprobs(policy, prompt, tokens));
    return -average(all);
  }

  const answersOf: Partial<Record<PresetName, (group: TrainingGroup) => readonly { tokens: readonly number[] }[]>> = {
    sft: ({ question }) => [{ tokens: [...copyCodec.encode(question.gold), copyCodec.stopTokens[0]!] }],
    raft: ({ initial }) => right(initial),
    "refinement-ft": ({ refinements }) => right(refinements),
    "critique-in-the-loop-ft": ({ initial, refinements }) => [...right(initial), ...right(refinements)],
  };

  it.each(Object.keys(answersOf) as PresetName[])(
    "%s: cross-entropy of right answers to the bare question",
    async (preset) => {
      const run = await collect(preset);
      const answers = answersOf[preset]!;
      for (const group of run.groups) {
        expect(group.members.map(({ response }) => response.tokens)).toEqual(
          answers(group).map(({ tokens }) => tokens),
        );
      }
      const targets = run.groups.flatMap((group) =>
        answers(group).map(({ tokens }) => ({ prompt: group.prompt, tokens })),
      );
      expect(targets.length).toBeGreaterThan(3);
      const expected = crossEntropy(run.policy, targets);
      expect(await lossOf(run)).toBeCloseTo(expected, 5);
    },
  );

  it("critique-ft: cross-entropy of each critique, given question and response; nothing is refined", async () => {
    const run = await collect("critique-ft");
    const targets = run.groups.flatMap(({ question, initial }) =>
      initial.map(({ text, reward }) => ({
        prompt: copyCodec.encode(`${question.text}${text}`),
        tokens: [...copyCodec.encode(`${reward.correct ? "V" : "X"}${question.gold}`), copyCodec.stopTokens[0]!],
      })),
    );
    expect(targets).toHaveLength(64);
    expect(run.groups.flatMap(({ refinements }) => refinements)).toEqual([]);
    expect(run.groups.flatMap(({ members }) => members.map(({ response }) => response))).toMatchObject(targets);
    const expected = crossEntropy(run.policy, targets);
    expect(await lossOf(run)).toBeCloseTo(expected, 5);
  });

  it("sft samples nothing", async () => {
    const { policy } = await collect("sft");
    expect(policy.requests).toEqual([]);
  });
});

describe("every preset in train()", () => {
  const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-baselines-"));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const everyGuard = { maxGradientShare: 0.2, importanceCap: 2, annealing: { steps: 3 } };
  const guarded = (config: RunConfig): RunConfig => ({
    ...config,
    algorithm: { ...config.algorithm, offPolicy: { ...everyGuard, annealing: { steps: 3, finalWeight: 0 } } },
  });
  const runs: [string, RunConfig][] = [
    ...(Object.keys(presets) as PresetName[]).map((name): [string, RunConfig] => [name, configure(name)]),
    ["critique-grpo with every guard", guarded(configure("critique-grpo"))],
  ];

  it.each(runs)("%s: a run that was stopped goes on to the same weights, bit for bit", async (name, preset) => {
    const config: RunConfig = { ...preset, steps: 3, miniBatches: 4, checkpoint: { every: 0, keep: 1 } };
    const task = {
      config,
      codec: copyCodec,
      questions,
      rewards,
      critic: createProgramCritic(copyCritique),
    };
    const [whole, stopped, resumed] = [copyPolicy(), copyPolicy(), copyPolicy()];
    const { metrics } = await train({ ...task, policy: whole });
    expect(whole.logits).not.toEqual(copyPolicy().logits);

    const runDirectory = join(scratch, name);
    const abort = new AbortController();
    const sink = (event: RunEvent) => (event.type === "step-finished" && event.step === 2 ? abort.abort() : undefined);
    await train({ ...task, policy: stopped, runDirectory, sinks: [sink], signal: abort.signal });
    const result = await train({ ...task, policy: resumed, runDirectory, resume: true });
    expect(resumed.logits).toEqual(whole.logits);
    const timeless = (values: object) => Object.entries(values).filter(([key]) => !key.startsWith("seconds/"));
    expect(timeless(result.metrics!)).toEqual(timeless(metrics!));
  });

  it("takes no step where there is nothing to learn from, and counts that", async () => {
    const never = [{ name: "never", score: () => 0 }];
    const policy = copyPolicy();
    const task = { codec: copyCodec, questions, rewards: never, critic: null };
    const config: RunConfig = { ...configure("raft"), steps: 2, miniBatches: 2 };
    const { metrics } = await train({ ...task, config, policy });
    expect(policy.logits).toEqual(copyPolicy().logits);
    expect(metrics).toMatchObject({ empty_updates: 2, "targets/initial": 0, loss: Number.NaN });
  });

  it.each([
    ["a question without a reference solution", [{ ...questions[0]!, solution: "" }], "a (none)"],
    ["a reference solution that does not fit", [{ ...questions[0]!, solution: "1".repeat(64) }], "a (66 tokens with"],
  ])("refuses %s before anything is sampled", async (_, wrong, message) => {
    const task = { codec: copyCodec, questions: wrong, rewards, critic: null };
    await expect(train({ ...task, config: configure("luffy"), policy: copyPolicy() })).rejects.toThrow(message);
  });
});

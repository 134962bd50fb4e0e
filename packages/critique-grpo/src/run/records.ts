/** The records of the run directory: what is written and what readers get. docs/run-directory.md explains each. */
import type { Question } from "../data/question.js";
import type { StopReason } from "../policy/policy.js";
import type {
  Critique,
  CritiqueTarget,
  GroupMember,
  Refinement,
  Response,
  Reward,
  TrainingGroup,
} from "../rollout/records.js";

/** Raised when a record changes in a way that breaks readers. */
export const SCHEMA_VERSION = 1;

/** A line of metrics.jsonl: the metrics of docs/metrics.md stand beside these keys; null = nothing to count. */
export type MetricsRecord = {
  readonly schemaVersion: number;
  readonly step: number;
  /** ISO 8601. */
  readonly time: string;
} & Readonly<Record<string, number | string | null>>;

interface RecordedResponse {
  readonly index: number;
  readonly text: string;
  readonly tokens: readonly number[];
  /** log π_old of each token, four decimals. */
  readonly logprobs: readonly number[];
  readonly stopReason: StopReason;
  readonly policyVersion: number;
  readonly reward: Reward;
  /** In the training group. */
  readonly kept: boolean;
  /** Null for a refinement that was not kept. */
  readonly advantage: number | null;
}

export interface RecordedInitialResponse extends RecordedResponse {
  readonly critique?: Critique;
  readonly refinementSkipped?: string;
  readonly critiqueSkipped?: string;
  /** The critique as it was trained (`group.critiques`). */
  readonly critiqueTarget?: { readonly promptTokens: readonly number[]; readonly tokens: readonly number[] };
}

/** The reference solution as it was trained (`group.expert`). */
export interface RecordedExpertSolution {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly reward: Reward;
  readonly advantage: number;
}

export interface RecordedRefinement extends RecordedResponse {
  /** `index` of the initial response. */
  readonly refines: number;
  /** Tokens of the refinement prompt. */
  readonly promptTokens: number;
}

/** A line of rollouts/step-NNNNNN.jsonl: all that happened to one question in one step. */
export interface RolloutRecord {
  readonly schemaVersion: number;
  readonly step: number;
  readonly question: Pick<Question, "id" | "dataSource" | "text" | "prompt" | "gold">;
  /** Tokens of the bare question: the context of every response in the loss. */
  readonly promptTokens: readonly number[];
  readonly initial: readonly RecordedInitialResponse[];
  readonly refinements: readonly RecordedRefinement[];
  readonly expert?: RecordedExpertSolution;
}

/** A line of evaluations.jsonl. */
export type EvaluationRecord = {
  readonly schemaVersion: number;
  readonly step: number;
  readonly time: string;
} & Readonly<Record<string, unknown>>;

/** A line of events.jsonl: an event without the bulk that has files of its own. */
export type EventRecord = {
  readonly schemaVersion: number;
  readonly time: string;
  readonly type: string;
  readonly step: number;
} & Readonly<Record<string, unknown>>;

export type RunState = "running" | "finished" | "interrupted" | "failed";

/** status.json, replaced as a whole. */
export interface StatusRecord {
  readonly schemaVersion: number;
  readonly state: RunState;
  readonly task: "train" | "sft";
  readonly step: number;
  readonly steps: number;
  readonly phase: string | null;
  readonly pid: number;
  readonly host: string;
  readonly startedAt: string;
  readonly heartbeatAt: string;
  /** Why it failed. */
  readonly error?: string;
}

const LOGPROB_SCALE = 1e4;

export function rolloutRecord(group: TrainingGroup, step: number): RolloutRecord {
  const { id, dataSource, text, prompt, gold } = group.question;
  const advantages = new Map<GroupMember["response"], number>(
    group.members.map((member) => [member.response, member.advantage]),
  );
  const common = (response: Response): RecordedResponse => ({
    index: response.index,
    text: response.text,
    tokens: response.tokens,
    logprobs: Array.from(response.logprobs, (logprob) => Math.round(logprob * LOGPROB_SCALE) / LOGPROB_SCALE),
    stopReason: response.stopReason,
    policyVersion: response.policyVersion,
    reward: response.reward,
    kept: advantages.has(response),
    advantage: advantages.get(response) ?? null,
  });
  const responses = group.members.map((member) => member.response);
  const targets = responses.filter((response): response is CritiqueTarget => response.kind === "critique");
  const expert = group.members.flatMap(({ response, advantage }) =>
    response.kind === "expert" ? [{ ...response, advantage }] : [],
  )[0];
  return {
    schemaVersion: SCHEMA_VERSION,
    step,
    question: { id, dataSource, text, prompt, gold },
    promptTokens: group.prompt,
    initial: group.initial.map((response) => ({
      ...common(response),
      ...(response.critique === undefined ? {} : { critique: response.critique }),
      ...(response.refinementSkipped === undefined ? {} : { refinementSkipped: response.refinementSkipped }),
      ...(response.critiqueSkipped === undefined ? {} : { critiqueSkipped: response.critiqueSkipped }),
      ...critiqueTargetOf(response.index, targets),
    })),
    refinements: group.refinements.map((response: Refinement) => ({
      ...common(response),
      refines: response.refines,
      promptTokens: response.samplingPrompt.length,
    })),
    ...(expert === undefined ? {} : { expert: recordExpert(expert) }),
  };
}

function critiqueTargetOf(
  index: number,
  targets: readonly CritiqueTarget[],
): Pick<RecordedInitialResponse, "critiqueTarget"> {
  const target = targets.find(({ judges }) => judges === index);
  return target === undefined ? {} : { critiqueTarget: { promptTokens: target.prompt, tokens: target.tokens } };
}

function recordExpert({ text, tokens, reward, advantage }: RecordedExpertSolution): RecordedExpertSolution {
  return { text, tokens, reward, advantage };
}

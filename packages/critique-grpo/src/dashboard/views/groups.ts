/** The list of groups, filtered and searched, and one group in full. */
import {
  GROUP_FLAGS,
  type GroupDetail,
  type GroupFlag,
  type GroupPage,
  type GroupSummary,
} from "@critique-grpo/dashboard";
import { lastBoxed } from "../../feedback/reward/exact-match.js";
import { HttpError } from "../../http/errors.js";
import type { RecordedInitialResponse, RecordedRefinement, RolloutRecord } from "../../run/records.js";
import { flagBit, flagsOf, type GroupFacts, groupFlags, shortened } from "../data/group-facts.js";
import { countsByFlag, type RolloutIndex } from "../data/rollout-index.js";

/** A search that has looked this long answers with what it found, and where to go on. */
const SEARCH_MS = 1_000;
/** A last line that is longer is no answer. */
const ANSWER_CHARACTERS = 60;

export interface GroupQuery {
  /** Null: all steps, newest first. */
  readonly step: number | null;
  /** All of them must hold. */
  readonly flags: readonly GroupFlag[];
  /** Looked for in every text of the group; empty = any. */
  readonly text: string;
  /** `next` of the page before. */
  readonly cursor: number;
  readonly limit: number;
}

/** Groups in the order they are shown in, without an array of a million of them. */
interface Selection {
  readonly size: number;
  readonly at: (position: number) => GroupFacts;
  readonly flagBitsAt: (position: number) => number;
}

/** @throws HttpError 404 for a step without rollouts. */
export async function groupPage(index: RolloutIndex, query: GroupQuery): Promise<GroupPage> {
  const contents = await index.touch();
  const selection =
    query.step === null
      ? newestFirst(contents.table.rows, contents.table)
      : ofStep(await stepGroups(index, query.step));
  const wanted = query.flags.reduce((bits, flag) => bits | flagBit(flag), 0);
  const counts = new Uint32Array(GROUP_FLAGS.length);
  let matching = 0;
  for (let i = 0; i < selection.size; i++) {
    const bits = selection.flagBitsAt(i);
    if ((bits & wanted) === wanted) matching++;
    for (let bit = 0; bit < counts.length; bit++) if (bits & (1 << bit)) counts[bit]!++;
  }
  const { groups, next } = await collect(index, selection, wanted, query);
  return {
    groups,
    matching: query.text === "" ? matching : null,
    next,
    counts: countsByFlag((bit) => counts[Math.log2(bit)]!),
    total: selection.size,
    index: index.progress(),
  };
}

/** One group of a step. @throws HttpError 404 */
export async function findGroup(index: RolloutIndex, step: number, line: number): Promise<GroupFacts> {
  const facts = (await stepGroups(index, step)).find((group) => group.line === line);
  if (facts === undefined) throw new HttpError(404, `Step ${step} has no group ${line}`);
  return facts;
}

export async function groupDetail(index: RolloutIndex, step: number, line: number): Promise<GroupDetail> {
  const record = await index.record(await findGroup(index, step, line));
  const { question } = record;
  const { prompt } = question;
  return {
    step,
    line,
    question: {
      id: question.id,
      dataSource: question.dataSource,
      text: question.text,
      gold: question.gold,
      prompt: typeof prompt === "string" ? [{ role: null, content: prompt }] : prompt,
    },
    promptTokens: record.promptTokens.length,
    initial: record.initial.map((response) => ({
      ...responseView(response),
      critique: critiqueView(response),
      refinementSkipped: response.refinementSkipped ?? null,
    })),
    refinements: record.refinements.map((response) => ({ ...responseView(response), refines: response.refines })),
    flags: groupFlags(record),
  };
}

/** What reads like the answer: the last `\boxed{}`, what follows the last "####", else a short last line. */
export function shownAnswer(text: string): string | null {
  const boxed = lastBoxed(text);
  if (boxed !== undefined) return boxed.trim();
  const line = text.trimEnd().split("\n").at(-1)!.trim();
  const answer = line.includes("####") ? line.slice(line.lastIndexOf("####") + 4).trim() : line;
  return answer === "" || answer.length > ANSWER_CHARACTERS ? null : answer;
}

async function stepGroups(index: RolloutIndex, step: number): Promise<readonly GroupFacts[]> {
  const groups = await index.groupsOf(step);
  if (groups === null) throw new HttpError(404, `Step ${step} has no rollouts`);
  return groups;
}

function newestFirst(size: number, table: { at(row: number): GroupFacts; flagBitsAt(row: number): number }): Selection {
  return {
    size,
    at: (position) => table.at(size - 1 - position),
    flagBitsAt: (position) => table.flagBitsAt(size - 1 - position),
  };
}

function ofStep(groups: readonly GroupFacts[]): Selection {
  return {
    size: groups.length,
    at: (position) => groups[position]!,
    flagBitsAt: (position) => groups[position]!.flagBits,
  };
}

async function collect(
  index: RolloutIndex,
  selection: Selection,
  wanted: number,
  { text, cursor, limit }: GroupQuery,
): Promise<{ readonly groups: GroupSummary[]; readonly next: string | null }> {
  const needle = text.toLowerCase();
  const deadline = performance.now() + SEARCH_MS;
  const groups: GroupSummary[] = [];
  for (let position = cursor; position < selection.size; position++) {
    if ((selection.flagBitsAt(position) & wanted) !== wanted) continue;
    const isOver = groups.length === limit || (needle !== "" && performance.now() > deadline && position > cursor);
    if (isOver) return { groups, next: String(position) };
    const facts = selection.at(position);
    const record = await index.recordWithoutTokens(facts);
    if (needle === "" || texts(record).some((found) => found.toLowerCase().includes(needle))) {
      groups.push(groupSummary(facts, record));
    }
  }
  return { groups, next: null };
}

function texts({ question, initial, refinements }: RolloutRecord): string[] {
  return [
    question.id,
    question.text,
    question.gold,
    ...initial.flatMap(({ text, critique }) => (critique === undefined ? [text] : [text, critique.text])),
    ...refinements.map(({ text }) => text),
  ];
}

function groupSummary(facts: GroupFacts, { question }: RolloutRecord): GroupSummary {
  const { step, line, initialCount, initialCorrect, refinementCount, refinementCorrect, flagBits } = facts;
  return {
    ...{ step, line, initialCount, initialCorrect, refinementCount, refinementCorrect },
    questionId: question.id,
    dataSource: question.dataSource,
    question: shortened(question.text),
    gold: shortened(question.gold, 80),
    flags: flagsOf(flagBits),
  };
}

function responseView(response: RecordedInitialResponse | RecordedRefinement) {
  const { index, text, tokens, logprobs, stopReason, reward, kept, advantage } = response;
  return {
    ...{ index, text, kept, advantage },
    answer: shownAnswer(text),
    length: tokens.length,
    truncated: stopReason === "length",
    reward: {
      value: reward.value,
      correct: reward.correct,
      parts: reward.parts,
      failure: reward.failure ?? null,
    },
    meanLogprob: logprobs.length === 0 ? null : logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length,
  };
}

function critiqueView({ critique }: RecordedInitialResponse) {
  if (critique === undefined) return null;
  const { kind, text, failure, verdict, agreement, leak, latencyMs, tokens, cost, cutFrom, prompt } = critique;
  return {
    ...{ kind, text },
    failure: failure ?? null,
    verdict: verdict ?? null,
    agrees: agreement ?? null,
    leak: leak ?? null,
    latencyMs: latencyMs ?? null,
    tokens: tokens === undefined ? null : tokens.prompt + tokens.completion,
    cost: cost ?? null,
    cutFrom: cutFrom ?? null,
    prompt: prompt ?? null,
  };
}

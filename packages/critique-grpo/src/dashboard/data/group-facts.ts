/** What the group list, the problem list and the critique page need of a rollout record. */
import { GROUP_FLAGS, type GroupFlag } from "@critique-grpo/dashboard";
import type { RecordedInitialResponse, RecordedRefinement, RolloutRecord } from "../../run/records.js";

/** A group without its texts and tokens, and where in its file it stands. */
export interface GroupFacts {
  readonly step: number;
  /** Position in the step's file, from 0. */
  readonly line: number;
  readonly offset: number;
  readonly bytes: number;
  readonly questionId: string;
  readonly initialCount: number;
  readonly initialCorrect: number;
  readonly refinementCount: number;
  readonly refinementCorrect: number;
  /** One bit for each of GROUP_FLAGS, in their order. */
  readonly flagBits: number;
}

/** Long questions are known by their beginning. */
const SHOWN_CHARACTERS = 240;

export function shortened(text: string, characters = SHOWN_CHARACTERS): string {
  return text.length <= characters ? text : `${text.slice(0, characters)}…`;
}

export function flagBit(flag: GroupFlag): number {
  return 1 << GROUP_FLAGS.indexOf(flag);
}

export function flagsOf(bits: number): GroupFlag[] {
  return GROUP_FLAGS.filter((flag) => (bits & flagBit(flag)) !== 0);
}

export function groupFlags({ initial, refinements }: RolloutRecord): GroupFlag[] {
  const right = initial.filter((response) => response.reward.correct).length;
  const rightAt = new Map(initial.map((response) => [response.index, response.reward.correct]));
  const turned = (from: boolean) =>
    refinements.some(({ refines, reward }) => rightAt.get(refines) === from && reward.correct !== from);
  const critiques = initial.map(({ critique }) => critique);
  const responses: (RecordedInitialResponse | RecordedRefinement)[] = [...initial, ...refinements];
  const holds: Readonly<Record<GroupFlag, boolean>> = {
    fixed: turned(false),
    broken: turned(true),
    "all-wrong": right === 0,
    "all-right": right === initial.length,
    mixed: right > 0 && right < initial.length,
    truncated: responses.some(({ stopReason }) => stopReason === "length"),
    "critic-failed": critiques.some((critique) => critique?.failure !== undefined),
    "critic-disagrees": critiques.some((critique) => critique?.agreement === false),
    leak: critiques.some((critique) => critique?.leak === true),
    "reward-failed": responses.some(({ reward }) => reward.failure !== undefined),
    "refinement-skipped": initial.some(({ refinementSkipped }) => refinementSkipped !== undefined),
  };
  return GROUP_FLAGS.filter((flag) => holds[flag]);
}

export function groupFacts(
  record: RolloutRecord,
  place: Pick<GroupFacts, "step" | "line" | "offset" | "bytes">,
): GroupFacts {
  const { question, initial, refinements } = record;
  return {
    ...place,
    questionId: question.id,
    initialCount: initial.length,
    initialCorrect: initial.filter(({ reward }) => reward.correct).length,
    refinementCount: refinements.length,
    refinementCorrect: refinements.filter(({ reward }) => reward.correct).length,
    flagBits: groupFlags(record).reduce((bits, flag) => bits | flagBit(flag), 0),
  };
}

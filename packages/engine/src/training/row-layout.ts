import type { ModelConfig } from "../weights/index.js";

/** Consecutive tokens of a micro-batch's input in consecutive rows. */
export interface RowRun {
  /** Index of the input. */
  readonly member: number;
  /** First token. */
  readonly from: number;
  readonly count: number;
  /** Row of the first token. */
  readonly row: number;
}

/** What the layout of a micro-batch depends on. */
export interface LayoutInput {
  readonly tokens: readonly number[];
  /** Number of first tokens that inputs with the same `prompt` have in common. */
  readonly promptLength: number;
  /** Inputs of one prompt have the same number. */
  readonly prompt: number;
}

/**
 * Where the tokens of a micro-batch lie: as rows of hidden states, which every operation but attention works on, and in
 * the grid of batch × time slots that attention works on.
 */
export interface RowLayout {
  readonly batch: number;
  /** Padded length of the grid. */
  readonly time: number;
  /** Rows of hidden states, those of padding included. */
  readonly rows: number;
  /** Every token once: prompts that are shared with the first input that has them. */
  readonly runs: readonly RowRun[];
  /** Rows of padding: [first, end). */
  readonly padding: readonly (readonly [number, number])[];
  /** Absent: row = input × time + position. */
  readonly sharing?: Sharing | undefined;
  rowOf(member: number, position: number): number;
}

/** Rows that are not a grid: shared prompts are there once, padding is one row, number 0. */
export interface Sharing {
  /** Rows from 0 that are in several slots, the row of padding included. */
  readonly shared: number;
  /** Slots of such a row, at most. */
  readonly copies: number;
  /** Position of every row in its sequence. */
  readonly positions: BigInt64Array;
  /** The indices of `SlotInputs`. */
  slots(config: Pick<ModelConfig, "headCount" | "keyValueHeadCount">): SlotIndices;
}

export interface SlotIndices {
  readonly querySlots: Int32Array;
  readonly contextSlots: Int32Array;
  readonly keySlots: Int32Array;
  readonly manyKeySlots: Int32Array;
  readonly oneKeySlots: Int32Array;
}

/** Rows of inputs that are padded to the longest and share nothing. */
export function gridLayout(inputs: readonly Pick<LayoutInput, "tokens">[], time: number): RowLayout {
  return {
    batch: inputs.length,
    time,
    rows: inputs.length * time,
    runs: inputs.map(({ tokens }, member) => ({ member, from: 0, count: tokens.length, row: member * time })),
    padding: inputs.flatMap(({ tokens }, member) =>
      tokens.length < time ? [[member * time + tokens.length, (member + 1) * time] as const] : [],
    ),
    rowOf: (member, position) => member * time + position,
  };
}

/** The layout with the fewest rows: a grid if nothing is shared and nothing padded. */
export function rowLayout(inputs: readonly LayoutInput[]): RowLayout {
  const longest = Math.max(...inputs.map(({ tokens }) => tokens.length));
  const uses = countPrompts(inputs);
  const isGrid = inputs.every(({ tokens, prompt }) => tokens.length === longest && uses.get(prompt) === 1);
  return isGrid ? gridLayout(inputs, longest) : sharedLayout(inputs, uses, longest);
}

function countPrompts(inputs: readonly LayoutInput[]): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  for (const { prompt } of inputs) uses.set(prompt, (uses.get(prompt) ?? 0) + 1);
  return uses;
}

function sharedLayout(inputs: readonly LayoutInput[], uses: ReadonlyMap<number, number>, longest: number): RowLayout {
  const runs: RowRun[] = [];
  const promptRows = new Map<number, number>();
  let rows = 1;
  for (const [member, { prompt, promptLength }] of inputs.entries()) {
    if (uses.get(prompt) === 1 || promptRows.has(prompt)) continue;
    runs.push({ member, from: 0, count: promptLength, row: rows });
    promptRows.set(prompt, rows);
    rows += promptLength;
  }
  const shared = rows;
  const members = inputs.map(({ tokens, prompt, promptLength }, member) => {
    const promptRow = promptRows.get(prompt);
    const from = promptRow === undefined ? 0 : promptLength;
    const own = { member, from, count: tokens.length - from, row: rows };
    rows += own.count;
    if (own.count > 0) runs.push(own);
    return { promptRow: promptRow ?? 0, own };
  });
  const rowOf = (member: number, position: number) => {
    const { promptRow, own } = members[member]!;
    return position < own.from ? promptRow + position : own.row + position - own.from;
  };
  // Rows of padding read and write a slot of padding: there has to be one.
  const time = inputs.every(({ tokens }) => tokens.length === longest) ? longest + 1 : longest;
  const positions = new BigInt64Array(rows);
  for (const { from, count, row } of runs) for (let i = 0; i < count; i++) positions[row + i] = BigInt(from + i);
  const copies = Math.max(1, ...[...promptRows.keys()].map((prompt) => uses.get(prompt)!));
  const lengths = inputs.map(({ tokens }) => tokens.length);
  return {
    batch: inputs.length,
    time,
    rows,
    runs,
    padding: [[0, 1]],
    rowOf,
    sharing: {
      shared,
      copies,
      positions,
      slots: (config) => slotIndices({ lengths, time, rows, shared, copies, runs, rowOf }, config),
    },
  };
}

interface SlotPlan extends Pick<RowLayout, "time" | "rows" | "runs" | "rowOf"> {
  readonly lengths: readonly number[];
  readonly shared: number;
  readonly copies: number;
}

function slotIndices(
  { lengths, time, rows, shared, copies, runs, rowOf }: SlotPlan,
  { headCount, keyValueHeadCount }: Pick<ModelConfig, "headCount" | "keyValueHeadCount">,
): SlotIndices {
  const batch = lengths.length;
  const spare = lengths.findIndex((length) => length < time);
  const slotOf = (member: number, head: number, heads: number, position: number) =>
    (member * heads + head) * time + position;
  const indices: SlotIndices = {
    querySlots: new Int32Array(batch * headCount * time),
    contextSlots: new Int32Array(rows * headCount),
    keySlots: new Int32Array(batch * keyValueHeadCount * time),
    manyKeySlots: new Int32Array(shared * keyValueHeadCount * copies),
    oneKeySlots: new Int32Array((rows - shared) * keyValueHeadCount),
  };
  for (let head = 0; head < headCount; head++) {
    for (let member = 0; member < batch; member++) {
      const start = slotOf(member, head, headCount, 0);
      indices.querySlots.fill(head, start, start + time);
    }
    indices.contextSlots[head] = slotOf(spare, head, headCount, lengths[spare]!);
    for (const { member, from, count, row } of runs) {
      const start = slotOf(member, head, headCount, from);
      for (let i = 0; i < count; i++) {
        indices.querySlots[start + i] = (row + i) * headCount + head;
        indices.contextSlots[(row + i) * headCount + head] = start + i;
      }
    }
  }
  for (let head = 0; head < keyValueHeadCount; head++) {
    const unused = slotOf(spare, head, keyValueHeadCount, lengths[spare]!);
    for (let row = 0; row < shared; row++) {
      const start = (row * keyValueHeadCount + head) * copies;
      indices.manyKeySlots.fill(unused, start, start + copies);
    }
    const used = new Int32Array(shared);
    for (const [member, length] of lengths.entries()) {
      const start = slotOf(member, head, keyValueHeadCount, 0);
      indices.keySlots.fill(head, start + length, start + time);
      for (let position = 0; position < length; position++) {
        const row = rowOf(member, position);
        indices.keySlots[start + position] = row * keyValueHeadCount + head;
        if (row < shared)
          indices.manyKeySlots[(row * keyValueHeadCount + head) * copies + used[row]!++] = start + position;
        else indices.oneKeySlots[(row - shared) * keyValueHeadCount + head] = start + position;
      }
    }
  }
  return indices;
}

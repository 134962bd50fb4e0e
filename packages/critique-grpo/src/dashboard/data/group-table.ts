/**
 * The facts of every group of a run. A run of ten thousand steps has a million groups: as objects they would take a
 * gigabyte, as the numbers below 56 bytes each.
 */
import type { GroupFacts } from "./group-facts.js";

/** Numbers of one group, in this order. */
const FIELDS = ["step", "line", "offset", "bytes", "question", "flags"] as const;
const COUNTS = ["initialCount", "initialCorrect", "refinementCount", "refinementCorrect"] as const;
const FIRST_ROWS = 1024;

export class GroupTable {
  /** Offsets pass 2^32 in files of more than 4 GiB: the fields are doubles. */
  #fields = new Float64Array(FIRST_ROWS * FIELDS.length);
  #counts = new Uint16Array(FIRST_ROWS * COUNTS.length);
  #rows = 0;
  readonly #questionIds: string[] = [];
  readonly #questionNumbers = new Map<string, number>();

  get rows(): number {
    return this.#rows;
  }

  add(facts: GroupFacts): void {
    const row = this.#rows++;
    if (row * FIELDS.length === this.#fields.length) this.#grow();
    const { step, line, offset, bytes, flagBits } = facts;
    this.#fields.set([step, line, offset, bytes, this.#numberOf(facts.questionId), flagBits], row * FIELDS.length);
    this.#counts.set(
      COUNTS.map((name) => facts[name]),
      row * COUNTS.length,
    );
  }

  at(row: number): GroupFacts {
    const [step, line, offset, bytes, question, flagBits] = this.#fields.subarray(
      row * FIELDS.length,
      (row + 1) * FIELDS.length,
    );
    const [initialCount, initialCorrect, refinementCount, refinementCorrect] = this.#counts.subarray(
      row * COUNTS.length,
      (row + 1) * COUNTS.length,
    );
    return {
      step: step!,
      line: line!,
      offset: offset!,
      bytes: bytes!,
      questionId: this.#questionIds[question!]!,
      initialCount: initialCount!,
      initialCorrect: initialCorrect!,
      refinementCount: refinementCount!,
      refinementCorrect: refinementCorrect!,
      flagBits: flagBits!,
    };
  }

  /** Flags of a row, without the rest. */
  flagBitsAt(row: number): number {
    return this.#fields[row * FIELDS.length + FIELDS.indexOf("flags")]!;
  }

  /** Rows of a question, ascending. */
  rowsOf(questionId: string): number[] {
    const number = this.#questionNumbers.get(questionId);
    const found: number[] = [];
    if (number === undefined) return found;
    const column = FIELDS.indexOf("question");
    for (let row = 0; row < this.#rows; row++) {
      if (this.#fields[row * FIELDS.length + column] === number) found.push(row);
    }
    return found;
  }

  #numberOf(questionId: string): number {
    let number = this.#questionNumbers.get(questionId);
    if (number === undefined) {
      number = this.#questionIds.push(questionId) - 1;
      this.#questionNumbers.set(questionId, number);
    }
    return number;
  }

  #grow(): void {
    const fields = new Float64Array(2 * this.#fields.length);
    fields.set(this.#fields);
    this.#fields = fields;
    const counts = new Uint16Array(2 * this.#counts.length);
    counts.set(this.#counts);
    this.#counts = counts;
  }
}

/** From a row of known columns to what a question is made of. Pure. */
import type { MappedRow } from "../config/define.js";
import { InputError } from "../config/errors.js";
import { didYouMean } from "../config/nearest.js";
import type { RunConfig } from "../config/schema.js";
import type { ChatMessage } from "./question.js";
import type { LocatedRow, Row } from "./read.js";

export type ColumnMapping = Pick<RunConfig["data"], "columns" | "answerAfter">;

const PROMPT_COLUMNS = ["prompt", "question", "problem", "messages"];
const ANSWER_COLUMNS = ["reward_model.ground_truth", "gold", "ground_truth", "answer", "expected_answer"];
const SOLUTION_COLUMNS = ["target", "solution"];
const ID_COLUMNS = ["id"];
const SOURCE_COLUMNS = ["data_source"];
/** Top-level columns that hold more than the one thing taken from them: they stay in the metadata. */
const SHARED_COLUMNS = ["reward_model", "extra_info"];

/** Throws InputError that names the row, the columns looked for and the columns there. */
export function mapKnownColumns(located: LocatedRow, mapping: ColumnMapping): MappedRow {
  const { row, location } = located;
  const { columns, answerAfter } = mapping;
  const prompt = pick(located, "prompt", columns.prompt, PROMPT_COLUMNS);
  if (prompt === undefined) {
    throw new InputError(
      `${location}: no question; looked for ${PROMPT_COLUMNS.join(", ")}, the row has ${Object.keys(row).join(", ") || "no columns"}. Name the column in data.columns.prompt or write a data.module`,
    );
  }
  const answer = pick(located, "answer", columns.answer, ANSWER_COLUMNS);
  const solution = pick(located, "solution", columns.solution, SOLUTION_COLUMNS);
  const id = pick(located, "id", columns.id, ID_COLUMNS);
  const source = pick(located, "dataSource", columns.dataSource, SOURCE_COLUMNS);

  const wholeAnswer = answer && scalarText(answer.value, location, answer.column);
  const [before, gold] = splitAnswer(wholeAnswer, answerAfter, location, answer?.column);
  const solutionText = solution && textOf(solution.value, location, solution.column);
  const text = at(row, "reward_model.question");
  const used = new Set(
    [prompt, answer, solution, id, source].flatMap((found) => (found ? [found.column.split(".")[0]!] : [])),
  );
  return {
    prompt: promptOf(prompt.value, location, prompt.column),
    ...(typeof text === "string" && text !== "" ? { text } : {}),
    ...(gold === undefined ? {} : { gold }),
    ...(solutionText ? { solution: solutionText } : before ? { solution: before } : {}),
    ...(id === undefined ? {} : { id: scalarText(id.value, location, id.column) }),
    ...(source === undefined ? {} : { dataSource: scalarText(source.value, location, source.column) }),
    metadata: Object.fromEntries(Object.entries(row).filter(([key]) => SHARED_COLUMNS.includes(key) || !used.has(key))),
  };
}

interface Found {
  readonly column: string;
  readonly value: unknown;
}

/** A column that the user named must be there; of the usual names the first that is there counts. */
function pick(
  located: LocatedRow,
  key: string,
  named: string | undefined,
  usual: readonly string[],
): Found | undefined {
  for (const column of named === undefined ? usual : [named]) {
    const value = at(located.row, column);
    if (value !== undefined && value !== null) return { column, value };
  }
  if (named === undefined) return undefined;
  const names = Object.keys(located.row);
  throw new InputError(
    `${located.location}: no column "${named}" (data.columns.${key}); the row has ${names.join(", ")}${didYouMean(named, names)}`,
  );
}

/** `a.b` reaches into nested columns; a column whose name holds a dot is found by its whole name first. */
function at(row: Row, column: string): unknown {
  if (Object.hasOwn(row, column)) return row[column];
  let value: unknown = row;
  for (const key of column.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Row)[key];
  }
  return value;
}

function splitAnswer(
  answer: string | undefined,
  marker: string | undefined,
  location: string,
  column: string | undefined,
): [solution: string | undefined, gold: string | undefined] {
  if (answer === undefined || marker === undefined) return [undefined, answer];
  const position = answer.lastIndexOf(marker);
  if (position < 0) {
    throw new InputError(
      `${location}: column "${column}" does not contain ${JSON.stringify(marker)} (data.answerAfter), so no gold answer can be cut out of it`,
    );
  }
  return [answer.slice(0, position).trim(), answer.slice(position + marker.length).trim()];
}

function promptOf(value: unknown, location: string, column: string): string | readonly ChatMessage[] {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return checkMessages(value, `${location}: column "${column}"`);
  throw new InputError(
    `${location}: column "${column}" must be a text or a list of {role, content}, it is ${typeof value}`,
  );
}

const ROLES: readonly string[] = ["system", "user", "assistant"];

/** Messages as they come from a file or a user's map. Throws InputError that starts with `where`. */
export function checkMessages(value: readonly unknown[], where: string): ChatMessage[] {
  if (value.length === 0) throw new InputError(`${where}: the list of messages is empty`);
  return value.map((item, index) => {
    const { role, content } = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    if (typeof role !== "string" || !ROLES.includes(role)) {
      throw new InputError(
        `${where}: message ${index + 1} has role ${JSON.stringify(role)}; it must be one of ${ROLES.join(", ")}`,
      );
    }
    if (typeof content !== "string") throw new InputError(`${where}: message ${index + 1} has no text in "content"`);
    return { role: role as ChatMessage["role"], content };
  });
}

/** A solution is a text or messages, of which the assistant's last one counts. */
function textOf(value: unknown, location: string, column: string): string {
  if (!Array.isArray(value)) return scalarText(value, location, column);
  if (value.length === 0) return "";
  const messages = checkMessages(value, `${location}: column "${column}"`);
  return (messages.findLast((message) => message.role === "assistant") ?? messages.at(-1)!).content;
}

function scalarText(value: unknown, location: string, column: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  // Lists of one gold answer occur in published data sets.
  if (Array.isArray(value) && value.length === 1) return scalarText(value[0], location, column);
  throw new InputError(
    `${location}: column "${column}" must be a text or a number, it is ${JSON.stringify(value)?.slice(0, 60)}`,
  );
}

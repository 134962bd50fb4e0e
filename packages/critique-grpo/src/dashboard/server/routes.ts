/** The JSON API: each path to the view that answers it. Types of the answers: @critique-grpo/dashboard. */
import { GROUP_FLAGS, PROBLEM_OUTCOMES } from "@critique-grpo/dashboard";
import { BadRequest, HttpError } from "../../http/errors.js";
import { decodePathPart } from "../../http/messages.js";
import type { RunPlace, Runs } from "../data/runs.js";
import { critiqueReport } from "../views/critiques.js";
import { runEvaluations } from "../views/evaluations.js";
import { groupDetail, groupPage } from "../views/groups.js";
import { PROBLEM_ORDERS, problemHistory, problemPage } from "../views/problems.js";
import { compareRuns, listRuns, runOverview, runSeries, seriesCsv } from "../views/run.js";
import { responseTokens } from "../views/tokens.js";
import { oneOf, optionalWholeNumber, pathNumber, wholeNumber } from "./query.js";

/** Curves are wider than few screens: more points would not be seen. */
const MAX_POINTS = 2_000;
const MAX_PAGE = 200;
const MAX_COMPARED = 12;
const MAX_SEARCH_CHARACTERS = 200;

export type Answer =
  | { readonly type: "json"; readonly body: unknown }
  | { readonly type: "csv"; readonly name: string; readonly pieces: AsyncIterable<string> };

const json = (body: unknown): Answer => ({ type: "json", body });

/** Answers `api/<path>`. @throws HttpError */
export async function answerApi(runs: Runs, path: string, parameters: URLSearchParams): Promise<Answer> {
  const [first, ...rest] = path.split("/").map(decodePathPart);
  if (first === "runs" && rest.length === 0) return json(await listRuns(runs));
  if (first === "compare" && rest.length === 0) {
    const ids = parameters.getAll("run");
    if (ids.length < 1 || ids.length > MAX_COMPARED) throw new BadRequest(`Name 1 to ${MAX_COMPARED} runs to compare`);
    return json(await compareRuns(runs, await Promise.all(ids.map((id) => runs.place(id)))));
  }
  if (first !== "runs") throw new HttpError(404, `There is no api/${path}`);
  const [id, view = "overview", ...parts] = rest;
  return answerRun(runs, await runs.place(id!), view, parts, parameters);
}

async function answerRun(
  runs: Runs,
  place: RunPlace,
  view: string,
  parts: readonly string[],
  parameters: URLSearchParams,
): Promise<Answer> {
  const rollouts = runs.rollouts(place);
  const [a, b, c] = parts;
  switch (view) {
    case "overview":
      return json(await runOverview(runs, place));
    case "series":
      return json(
        await runSeries(runs, place, {
          metrics: parameters.getAll("metric"),
          from: wholeNumber(parameters, "from", { fallback: 0 }),
          to: wholeNumber(parameters, "to", { fallback: 2 ** 31 }),
          points: wholeNumber(parameters, "points", { fallback: 500, minimum: 10, maximum: MAX_POINTS }),
        }),
      );
    case "series.csv":
      return {
        type: "csv",
        name: `${place.id.replaceAll(/[^\w.-]+/g, "-")}.csv`,
        pieces: seriesCsv(runs, place, parameters.getAll("metric")),
      };
    case "groups":
      if (a === undefined) {
        return json(
          await groupPage(rollouts, {
            step: optionalWholeNumber(parameters, "step"),
            flags: parameters.getAll("flag").map((flag) => oneOf(flag, GROUP_FLAGS, "flag")),
            text: searchText(parameters),
            cursor: wholeNumber(parameters, "cursor", { fallback: 0 }),
            limit: wholeNumber(parameters, "limit", { fallback: 50, minimum: 1, maximum: MAX_PAGE }),
          }),
        );
      }
      return answerGroup(runs, place, pathNumber(a, "step"), pathNumber(b ?? "", "group"), c, parameters);
    case "problems":
      return json(
        await problemPage(rollouts, {
          outcome: parameters.has("outcome") ? oneOf(parameters.get("outcome")!, PROBLEM_OUTCOMES, "outcome") : null,
          text: searchText(parameters),
          order: oneOf(parameters.get("order") ?? "hardest", PROBLEM_ORDERS, "order"),
          offset: wholeNumber(parameters, "offset", { fallback: 0 }),
          limit: wholeNumber(parameters, "limit", { fallback: 100, minimum: 1, maximum: MAX_PAGE }),
        }),
      );
    case "problem":
      // An id is any text, slashes and backslashes included: no part of a path.
      return json(await problemHistory(rollouts, parameters.get("question") ?? ""));
    case "critiques":
      return json(await critiqueReport(rollouts));
    case "evaluations":
      return json(await runEvaluations(place.directory));
    default:
      throw new HttpError(404, `A run has no ${JSON.stringify(view)}`);
  }
}

async function answerGroup(
  runs: Runs,
  place: RunPlace,
  step: number,
  line: number,
  part: string | undefined,
  parameters: URLSearchParams,
): Promise<Answer> {
  const rollouts = runs.rollouts(place);
  if (part === undefined) return json(await groupDetail(rollouts, step, line));
  if (part !== "tokens") throw new HttpError(404, `A group has no ${JSON.stringify(part)}`);
  const kind = oneOf(parameters.get("kind") ?? "initial", ["initial", "refinement"], "kind");
  const index = wholeNumber(parameters, "index", { fallback: 0 });
  return json(await responseTokens(runs, place, rollouts, { step, line, kind, index }));
}

function searchText(parameters: URLSearchParams): string {
  const text = parameters.get("text") ?? "";
  if (text.length > MAX_SEARCH_CHARACTERS)
    throw new BadRequest(`text is longer than ${MAX_SEARCH_CHARACTERS} characters`);
  return text;
}

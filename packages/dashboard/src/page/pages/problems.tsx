/** Questions of a run: which were never solved, which only by a refinement. */
import { useState } from "preact/hooks";
import { type ProblemPage as Page, PROBLEM_OUTCOMES, type ProblemOutcome } from "../../contract/problems.js";
import { csv, fileName, save } from "../charts/export.js";
import { Empty, IndexNotice, Loading, Problem } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatPercent } from "../state/format.js";
import { go, href } from "../state/route.js";

export const OUTCOME_TEXTS: Readonly<Record<ProblemOutcome, { readonly label: string; readonly help: string }>> = {
  never: { label: "never solved", help: "No right response of any kind: a persistent failure" },
  "only-refined": { label: "only by refinement", help: "No right first answer, but a right refinement" },
  solved: { label: "solved", help: "At least one right first answer" },
};

const ORDERS = [
  ["hardest", "hardest first"],
  ["easiest", "easiest first"],
  ["solved-late", "solved latest first"],
  ["visits", "most visits first"],
] as const;
const PAGE = 100;
/** While files are being read, totals grow. */
const INDEXING_MS = 700;

export function Problems({ runId, parameters }: { readonly runId: string; readonly parameters: URLSearchParams }) {
  const outcome = parameters.get("outcome");
  const order = parameters.get("order") ?? "hardest";
  const text = parameters.get("text") ?? "";
  const [limit, setLimit] = useState(PAGE);
  const [indexing, setIndexing] = useState(true);
  const path = apiPath(["runs", runId, "problems"], { outcome, order, text, limit });
  const { data, error } = useJson<Page>(path, useRevision(runId), indexing ? INDEXING_MS : null);
  if (data !== null && indexing === data.index.done) setIndexing(!data.index.done);
  const show = (change: Record<string, string | null>) =>
    go(href(["run", runId, "problems"], { outcome, order, text, ...change }), { replace: true });
  if (error !== null && data === null) return <Problem text={error} />;
  if (data === null) return <Loading />;
  return (
    <section class="page">
      <div class="heading">
        <h1>Problems</h1>
        <span class="muted">{data.total.toLocaleString("en-US")} questions trained on</span>
        <span class="spacer" />
        <button
          type="button"
          class="quiet"
          onClick={() => save(`${fileName(runId, "problems")}.csv`, "text/csv", table(data))}
        >
          CSV
        </button>
      </div>
      <IndexNotice index={data.index} />
      <div class="filters" role="toolbar" aria-label="Filter">
        <button type="button" class="chip" aria-pressed={outcome === null} onClick={() => show({ outcome: null })}>
          all <b>{data.total.toLocaleString("en-US")}</b>
        </button>
        {PROBLEM_OUTCOMES.map((name) => (
          <button
            key={name}
            type="button"
            class="chip"
            title={OUTCOME_TEXTS[name].help}
            aria-pressed={outcome === name}
            onClick={() => show({ outcome: outcome === name ? null : name })}
          >
            {OUTCOME_TEXTS[name].label} <b>{data.counts[name].toLocaleString("en-US")}</b>
          </button>
        ))}
        <input
          type="search"
          placeholder="Search question, answer, id"
          aria-label="Search problems"
          value={text}
          onInput={(event) => show({ text: event.currentTarget.value })}
        />
        <select aria-label="Order" value={order} onChange={(event) => show({ order: event.currentTarget.value })}>
          {ORDERS.map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </div>
      {data.problems.length === 0 ? (
        <Empty>None.</Empty>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th>question</th>
                <th>gold</th>
                <th>outcome</th>
                <th class="number">visits</th>
                <th class="number">right</th>
                <th class="number">right, last</th>
                <th class="number">first solved</th>
                <th class="number">first refined</th>
              </tr>
            </thead>
            <tbody>
              {data.problems.map((problem) => (
                <tr key={problem.questionId}>
                  <td class="clip">
                    <a href={href(["run", runId, "problem", problem.questionId])}>
                      {problem.question || problem.questionId}
                    </a>
                  </td>
                  <td class="clip short">{problem.gold}</td>
                  <td>
                    <span class={`outcome outcome-${problem.outcome}`}>{OUTCOME_TEXTS[problem.outcome].label}</span>
                  </td>
                  <td class="number">{problem.visits}</td>
                  <td class="number">{formatPercent(problem.accuracy)}</td>
                  <td class="number">{formatPercent(problem.lastAccuracy)}</td>
                  <td class="number">{problem.firstSolved ?? "–"}</td>
                  <td class="number">{problem.firstRefined ?? "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data.problems.length < data.matching && limit < 2 * PAGE && (
        <button type="button" onClick={() => setLimit(2 * PAGE)}>
          Show more of {data.matching.toLocaleString("en-US")}
        </button>
      )}
    </section>
  );
}

function table({ problems }: Page): string {
  const header = [
    "id",
    "data source",
    "question",
    "gold",
    "outcome",
    "visits",
    "accuracy",
    "last accuracy",
    "first solved",
    "first refined",
  ];
  return csv(
    header,
    problems.map((problem) => [
      ...[problem.questionId, problem.dataSource, problem.question, problem.gold, problem.outcome],
      ...[problem.visits, problem.accuracy, problem.lastAccuracy, problem.firstSolved, problem.firstRefined],
    ]),
  );
}

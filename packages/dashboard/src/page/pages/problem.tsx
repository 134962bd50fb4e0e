/** One question through training. */
import { useState } from "preact/hooks";
import type { Breakthrough, ProblemHistory, ProblemVisit } from "../../contract/problems.js";
import { csv, fileName, save } from "../charts/export.js";
import { DiffText } from "../components/diff-text.js";
import { MathText } from "../components/math-text.js";
import { Facts, FlagBadges, IndexNotice, Loading, Problem } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatPercent } from "../state/format.js";
import { go, href } from "../state/route.js";
import { OUTCOME_TEXTS } from "./problems.js";

const INDEXING_MS = 700;

export function ProblemPage({ runId, questionId }: { readonly runId: string; readonly questionId: string }) {
  const [indexing, setIndexing] = useState(true);
  const path = apiPath(["runs", runId, "problem"], { question: questionId });
  const { data, error } = useJson<ProblemHistory>(path, useRevision(runId), indexing ? INDEXING_MS : null);
  if (data !== null && indexing === data.index.done) setIndexing(!data.index.done);
  if (data === null) return error === null ? <Loading /> : <Problem text={error} />;
  const { problem, visits } = data;
  return (
    <section class="page">
      <div class="heading">
        <h1>
          <a href={href(["run", runId, "problems"])}>Problems</a> / {questionId}
        </h1>
        <span class={`outcome outcome-${problem.outcome}`} title={OUTCOME_TEXTS[problem.outcome].help}>
          {OUTCOME_TEXTS[problem.outcome].label}
        </span>
        <span class="spacer" />
        <button
          type="button"
          class="quiet"
          onClick={() => save(`${fileName(runId, questionId)}.csv`, "text/csv", table(visits))}
        >
          CSV
        </button>
      </div>
      <IndexNotice index={data.index} />
      <div class="panel open question">
        <MathText text={data.text} raw={false} />
        <p class="gold">
          <span>gold</span> <MathText text={problem.gold} raw={false} />
        </p>
      </div>
      <Facts
        facts={[
          ["Visits", problem.visits],
          ["Right first answers", formatPercent(problem.accuracy)],
          ["… at the last visit", formatPercent(problem.lastAccuracy)],
          ["First solved", problem.firstSolved === null ? "never" : `step ${problem.firstSolved}`],
          ["First right refinement", problem.firstRefined === null ? "never" : `step ${problem.firstRefined}`],
        ]}
      />
      <Timeline runId={runId} visits={visits} />
      <First runId={runId} title="First right refinement" found={data.firstRefined} />
      <First runId={runId} title="First right answer of its own" found={data.firstSolved} />
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th class="number">step</th>
              <th class="number">first answers right</th>
              <th class="number">refinements right</th>
              <th>flags</th>
            </tr>
          </thead>
          <tbody>
            {[...visits].reverse().map((visit) => (
              <tr key={`${visit.step}-${visit.line}`}>
                <td class="number">
                  <a href={groupHref(runId, visit)}>{visit.step}</a>
                </td>
                <td class="number">
                  {visit.initialCorrect} / {visit.initialCount}
                </td>
                <td class="number">
                  {visit.refinementCorrect} / {visit.refinementCount}
                </td>
                <td>
                  <FlagBadges flags={visit.flags} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** A column a visit: how many first answers were right; a mark where a refinement was. */
function Timeline({ runId, visits }: { readonly runId: string; readonly visits: readonly ProblemVisit[] }) {
  const shown = visits.slice(-120);
  return (
    <div class="timeline" role="toolbar" aria-label="Visits, oldest first">
      {shown.map((visit) => (
        <button
          key={`${visit.step}-${visit.line}`}
          type="button"
          title={`step ${visit.step}: ${visit.initialCorrect} of ${visit.initialCount} first answers right, ${visit.refinementCorrect} of ${visit.refinementCount} refinements`}
          onClick={() => go(groupHref(runId, visit))}
        >
          <span class="hidden">step {visit.step}</span>
          <i class={visit.refinementCorrect > 0 ? "mark" : "mark none"} />
          <i class="column">
            <i style={{ height: `${(100 * visit.initialCorrect) / visit.initialCount}%` }} />
          </i>
        </button>
      ))}
    </div>
  );
}

function First({
  runId,
  title,
  found,
}: {
  readonly runId: string;
  readonly title: string;
  readonly found: Breakthrough | null;
}) {
  if (found === null) return null;
  const { from } = found;
  return (
    <div class="panel open">
      <h2>
        {title}: <a href={groupHref(runId, found)}>step {found.step}</a>
        {from !== null && <span class="muted"> from response {from.index}</span>}
      </h2>
      {from?.critique != null && (
        <div class="critique">
          <MathText text={from.critique} raw={false} />
        </div>
      )}
      {from === null ? <MathText text={found.text} raw={false} /> : <DiffText before={from.text} after={found.text} />}
    </div>
  );
}

function groupHref(runId: string, { step, line }: { readonly step: number; readonly line: number }): string {
  return href(["run", runId, "groups"], { step, line });
}

function table(visits: readonly ProblemVisit[]): string {
  return csv(
    ["step", "first answers", "right", "refinements", "right", "flags"],
    visits.map((visit) => [
      ...[visit.step, visit.initialCount, visit.initialCorrect, visit.refinementCount, visit.refinementCorrect],
      visit.flags.join(" "),
    ]),
  );
}

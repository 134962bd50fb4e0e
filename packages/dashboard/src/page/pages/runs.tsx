/** All runs below the root. */
import { useState } from "preact/hooks";
import type { RunListing, RunSummary } from "../../contract/runs.js";
import { Sparkline } from "../charts/sparkline.js";
import { Empty, Loading, Problem, StateBadge } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatAge, formatNumber, formatPercent, formatTime } from "../state/format.js";
import { go, href } from "../state/route.js";

/** New runs and dead processes show without a change of a run that is known. */
const POLL_MS = 5_000;

export function RunList() {
  const { data, error } = useJson<RunListing>(apiPath(["runs"]), useRevision(null), POLL_MS);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const choose = (id: string, on: boolean) =>
    setChosen((before) => new Set(on ? [...before, id] : [...before].filter((other) => other !== id)));
  if (error !== null && data === null) return <Problem text={error} />;
  if (data === null) return <Loading />;
  return (
    <section class="page">
      <div class="heading">
        <h1>Runs</h1>
        <code class="muted">{data.root}</code>
        <span class="spacer" />
        <button type="button" disabled={chosen.size === 0} onClick={() => go(href(["compare"], { run: [...chosen] }))}>
          Compare{chosen.size > 0 ? ` ${chosen.size}` : ""}
        </button>
      </div>
      {data.runs.length === 0 ? (
        <Empty>No runs here yet. A run appears as soon as it has a status.</Empty>
      ) : (
        <div class="table-box">
          <table class="runs">
            <thead>
              <tr>
                <th>
                  <span class="hidden">compare</span>
                </th>
                <th>run</th>
                <th>state</th>
                <th>progress</th>
                <th>reward</th>
                <th class="number">reward</th>
                <th class="number">first answers</th>
                <th class="number">refinements</th>
                <th>heartbeat</th>
                <th>started</th>
              </tr>
            </thead>
            <tbody>
              {data.runs.map((run) => (
                <RunRow key={run.id} run={run} chosen={chosen.has(run.id)} onChoose={(on) => choose(run.id, on)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data.truncated && (
        <p class="notice">There are more runs; start the dashboard on a smaller directory to see them.</p>
      )}
    </section>
  );
}

function RunRow({
  run,
  chosen,
  onChoose,
}: {
  readonly run: RunSummary;
  readonly chosen: boolean;
  readonly onChoose: (on: boolean) => void;
}) {
  return (
    <tr>
      <td>
        <input
          type="checkbox"
          aria-label={`compare ${run.id}`}
          checked={chosen}
          onChange={(event) => onChoose(event.currentTarget.checked)}
        />
      </td>
      <td>
        <a class="strong" href={href(["run", run.id])}>
          {run.id}
        </a>
        {run.task === "sft" && <span class="flag">sft</span>}
      </td>
      <td>
        <StateBadge state={run.state} />
        {run.phase !== null && <span class="muted"> {run.phase}</span>}
      </td>
      <td>
        <progress value={run.step} max={Math.max(1, run.steps)} aria-label="steps done" />{" "}
        <span class="muted">
          {run.step.toLocaleString("en-US")} / {run.steps.toLocaleString("en-US")}
        </span>
      </td>
      <td>
        <Sparkline values={run.sparkline} label={`reward of ${run.id} through the run`} />
      </td>
      <td class="number">{formatNumber(run.reward)}</td>
      <td class="number">{formatPercent(run.initialAccuracy)}</td>
      <td class="number">{formatPercent(run.refinedAccuracy)}</td>
      <td class="muted">{formatAge(run.heartbeatAt)}</td>
      <td class="muted">{formatTime(run.startedAt)}</td>
    </tr>
  );
}

/** One run: its state, what is wrong with it, and its curves. */
import { useState } from "preact/hooks";
import type { HealthFlag, RunOverview } from "../../contract/runs.js";
import { CHARTS } from "../charts/catalog.js";
import { ChartGrid } from "../charts/chart-grid.js";
import { Facts, Loading, Problem, StateBadge } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatAge, formatNumber, formatPercent, formatTime, plural } from "../state/format.js";
import { href } from "../state/route.js";

const POLL_MS = 10_000;

export function Overview({ runId }: { readonly runId: string }) {
  const revision = useRevision(runId);
  const { data: run, error } = useJson<RunOverview>(apiPath(["runs", runId, "overview"]), revision, POLL_MS);
  if (error !== null && run === null) return <Problem text={error} />;
  if (run === null) return <Loading />;
  const charts = CHARTS.filter(({ curves }) => curves.some(({ metric }) => run.metrics.includes(metric)));
  return (
    <section class="page">
      <div class="heading">
        <h1>{run.id}</h1>
        <StateBadge state={run.state} />
        {run.phase !== null && <span class="muted">{run.phase}</span>}
      </div>
      <Facts
        facts={[
          [
            "Step",
            <>
              {run.step.toLocaleString("en-US")} <span class="muted">of {run.steps.toLocaleString("en-US")}</span>
              <progress value={run.step} max={Math.max(1, run.steps)} aria-label="steps done" />
            </>,
          ],
          ["Reward", formatNumber(run.reward)],
          ["First answers", formatPercent(run.initialAccuracy)],
          ["Refinements", formatPercent(run.refinedAccuracy)],
          ["Heartbeat", <span title={formatTime(run.heartbeatAt)}>{formatAge(run.heartbeatAt)}</span>],
          ["Started", formatTime(run.startedAt)],
          ["Process", run.pid === null ? "–" : `${run.pid} on ${run.host}`],
          ["Checkpoints", run.checkpoints.length === 0 ? "–" : run.checkpoints.join(", ")],
        ]}
      />
      <Health flags={run.health} />
      {run.rolloutSteps !== null && (
        <p class="links">
          <a href={href(["run", runId, "groups"], { step: run.rolloutSteps.last })}>
            Look at the groups of step {run.rolloutSteps.last.toLocaleString("en-US")}
          </a>
          <span class="muted">{plural(run.rolloutSteps.count, "step")} with rollouts</span>
        </p>
      )}
      <ChartGrid
        charts={charts}
        runs={[{ id: runId, label: null }]}
        from={run.firstStep}
        to={run.lastStep}
        revision={revision}
      />
      <AllMetrics run={run} revision={revision} />
      <details class="panel">
        <summary>Events ({run.events.length})</summary>
        <div class="table-box">
          <table>
            <tbody>
              {[...run.events].reverse().map((event, i) => (
                <tr key={i}>
                  <td class="muted">{formatTime(event.time)}</td>
                  <td class="number">{event.step}</td>
                  <td>{event.type}</td>
                  <td>{event.message}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
      <details class="panel">
        <summary>Configuration</summary>
        <pre>{run.config}</pre>
      </details>
    </section>
  );
}

function Health({ flags }: { readonly flags: readonly HealthFlag[] }) {
  if (flags.length === 0) return <p class="health-ok">✓ No signs of trouble</p>;
  return (
    <ul class="health" aria-label="Health">
      {flags.map(({ kind, severity, title, meaning, remedy, metric }) => (
        <li key={kind} class={severity}>
          <strong>{title}</strong>
          <span>{meaning}</span>
          <span class="muted">
            {remedy}
            {metric !== null && (
              <>
                {" "}
                <code>{metric}</code>
              </>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Metrics that no chart above shows, one at a time. */
function AllMetrics({ run, revision }: { readonly run: RunOverview; readonly revision: number }) {
  const [metric, setMetric] = useState<string>("");
  return (
    <div class="panel open">
      <label>
        Any other metric:{" "}
        <select value={metric} onChange={(event) => setMetric(event.currentTarget.value)}>
          <option value="">choose …</option>
          {run.metrics.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {metric !== "" && (
        <ChartGrid
          key={metric}
          charts={[
            {
              title: metric,
              meaning: "docs/metrics.md defines it",
              format: "number",
              curves: [{ metric, label: metric }],
            },
          ]}
          runs={[{ id: run.id, label: null }]}
          from={run.firstStep}
          to={run.lastStep}
          revision={revision}
        />
      )}
    </div>
  );
}

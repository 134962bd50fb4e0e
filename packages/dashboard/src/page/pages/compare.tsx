/** Several runs in the same charts, and what is different in their configurations. */
import { useMemo, useState } from "preact/hooks";
import type { Comparison, RunListing } from "../../contract/runs.js";
import { CHARTS, type ChartSpec } from "../charts/catalog.js";
import { ChartGrid } from "../charts/chart-grid.js";
import { Empty, Loading, Problem, StateBadge } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatNumber, formatPercent } from "../state/format.js";
import { go, href } from "../state/route.js";

const FIRST_METRICS = [
  "reward",
  "initial_accuracy",
  "refinement/accuracy",
  "refinement/fix_rate",
  "entropy",
  "completions/mean_length",
];

export function Compare({ runIds }: { readonly runIds: readonly string[] }) {
  const revision = useRevision(null);
  const listing = useJson<RunListing>(apiPath(["runs"])).data;
  const path = runIds.length === 0 ? null : apiPath(["compare"], { run: runIds });
  const { data, error } = useJson<Comparison>(path, revision);
  const [extra, setExtra] = useState("");
  const runs = useMemo(() => runIds.map((id) => ({ id, label: shortName(id, runIds) })), [runIds.join("\n")]);
  const others = listing?.runs.filter(({ id }) => !runIds.includes(id)) ?? [];
  const charts = useMemo(() => chartsOf(data?.metrics ?? [], extra), [data?.metrics.join("\n"), extra]);
  const last = Math.max(1, ...(data?.runs.map(({ step }) => step) ?? []));
  return (
    <section class="page">
      <div class="heading">
        <h1>Compare</h1>
        {others.length > 0 && (
          <select
            aria-label="Add a run"
            value=""
            onChange={(event) => go(href(["compare"], { run: [...runIds, event.currentTarget.value] }))}
          >
            <option value="">add a run …</option>
            {others.map(({ id }) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        )}
      </div>
      {error !== null && <Problem text={error} />}
      {runIds.length === 0 ? (
        <Empty>Choose runs above, or tick them in the list of runs.</Empty>
      ) : data === null ? (
        <Loading />
      ) : (
        <>
          <div class="table-box">
            <table>
              <thead>
                <tr>
                  <th>run</th>
                  <th>state</th>
                  <th class="number">step</th>
                  <th class="number">reward</th>
                  <th class="number">first answers</th>
                  <th class="number">refinements</th>
                  <th>
                    <span class="hidden">remove</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.runs.map((run, i) => (
                  <tr key={run.id}>
                    <td>
                      <i class={`swatch curve-${i % 8}`} />{" "}
                      <a class="strong" href={href(["run", run.id])}>
                        {run.id}
                      </a>
                    </td>
                    <td>
                      <StateBadge state={run.state} />
                    </td>
                    <td class="number">{run.step.toLocaleString("en-US")}</td>
                    <td class="number">{formatNumber(run.reward)}</td>
                    <td class="number">{formatPercent(run.initialAccuracy)}</td>
                    <td class="number">{formatPercent(run.refinedAccuracy)}</td>
                    <td>
                      <a
                        href={href(["compare"], { run: runIds.filter((id) => id !== run.id) })}
                        aria-label={`remove ${run.id}`}
                      >
                        ✕
                      </a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <label class="chart-bar">
            Also show{" "}
            <select value={extra} onChange={(event) => setExtra(event.currentTarget.value)}>
              <option value="">…</option>
              {data.metrics.map((metric) => (
                <option key={metric} value={metric}>
                  {metric}
                </option>
              ))}
            </select>
          </label>
          <ChartGrid charts={charts} runs={runs} from={1} to={last} revision={revision} />
          <Differences comparison={data} />
        </>
      )}
    </section>
  );
}

function Differences({ comparison: { runs, differences } }: { readonly comparison: Comparison }) {
  if (runs.length < 2) return null;
  return (
    <>
      <h2>Configurations differ in</h2>
      {differences.length === 0 ? (
        <Empty>nothing</Empty>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th>key</th>
                {runs.map(({ id }) => (
                  <th key={id}>{id}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {differences.map(({ key, values }) => (
                <tr key={key}>
                  <th scope="row">
                    <code>{key}</code>
                  </th>
                  {values.map((value, i) => (
                    <td key={runs[i]!.id}>
                      <code>{value ?? "–"}</code>
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** One metric a chart: runs have the colours. */
function chartsOf(metrics: readonly string[], extra: string): ChartSpec[] {
  const wanted = [...(extra === "" ? [] : [extra]), ...FIRST_METRICS.filter((metric) => metric !== extra)];
  return wanted
    .filter((metric) => metrics.includes(metric))
    .map((metric) => {
      const known = CHARTS.find(({ curves }) => curves.some((curve) => curve.metric === metric));
      return {
        title: metric,
        minimum: known?.minimum,
        meaning: known?.meaning ?? "docs/metrics.md defines it",
        format: known?.format ?? "number",
        curves: [{ metric, label: metric }],
      };
    });
}

/** Names without the folders that all have in common. */
function shortName(id: string, all: readonly string[]): string {
  const parts = id.split("/");
  let common = 0;
  while (common < parts.length - 1 && all.every((other) => other.split("/")[common] === parts[common])) common++;
  return parts.slice(common).join("/");
}

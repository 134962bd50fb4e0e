/** Evaluations: pass@k of each benchmark with its interval, and how it came through training. */
import { useMemo, useState } from "preact/hooks";
import type { BenchmarkResult, EvaluationsAnswer, EvaluationView, Interval } from "../../contract/evaluations.js";
import { Chart } from "../charts/chart.js";
import type { Curve } from "../charts/curve.js";
import { csv, fileName, save } from "../charts/export.js";
import { Empty, Loading, Problem } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatNumber, formatPercent, formatTime, plural } from "../state/format.js";

export function Evaluations({ runId }: { readonly runId: string }) {
  const { data, error } = useJson<EvaluationsAnswer>(apiPath(["runs", runId, "evaluations"]), useRevision(runId));
  const [chosen, setChosen] = useState<number | null>(null);
  if (data === null) return error === null ? <Loading /> : <Problem text={error} />;
  const { evaluations } = data;
  const shown = evaluations[chosen ?? evaluations.length - 1];
  return (
    <section class="page">
      <div class="heading">
        <h1>Evaluations</h1>
        <span class="spacer" />
        <button
          type="button"
          class="quiet"
          onClick={() => save(`${fileName(runId, "evaluations")}.csv`, "text/csv", table(evaluations))}
        >
          CSV
        </button>
      </div>
      {shown === undefined ? (
        <Empty>
          None yet. `evaluation.files` in the configuration evaluates during training; `critique-grpo eval` afterwards.
        </Empty>
      ) : (
        <>
          <Through runId={runId} evaluations={evaluations} />
          <label class="chart-bar">
            Evaluation{" "}
            <select
              value={chosen ?? evaluations.length - 1}
              onChange={(event) => setChosen(Number(event.currentTarget.value))}
            >
              {evaluations.map((evaluation, i) => (
                <option key={titleOf(evaluation)} value={i}>
                  {titleOf(evaluation)}
                </option>
              ))}
            </select>
            <span class="muted">
              {shown.samples === null ? "?" : plural(shown.samples, "sample")} a question at temperature{" "}
              {formatNumber(shown.temperature)}, mean length {formatNumber(shown.meanLength)} tokens,{" "}
              {formatPercent(shown.truncated)} cut off
              {shown.time !== null && ` · ${formatTime(shown.time)}`}
            </span>
          </label>
          <Benchmarks benchmarks={shown.benchmarks} />
        </>
      )}
    </section>
  );
}

function Benchmarks({ benchmarks }: { readonly benchmarks: readonly BenchmarkResult[] }) {
  const ks = [...new Set(benchmarks.flatMap(({ passAt }) => passAt.map(({ k }) => k)))].sort((a, b) => a - b);
  const hasMajority = benchmarks.some(({ majority }) => majority !== null);
  const hasGreedy = benchmarks.some(({ greedy }) => greedy !== null);
  // A single benchmark is the whole.
  const rows = benchmarks.length === 2 ? benchmarks.slice(1) : benchmarks;
  return (
    <div class="table-box">
      <table class="benchmarks">
        <thead>
          <tr>
            <th>benchmark</th>
            <th class="number">questions</th>
            {ks.map((k) => (
              <th key={k}>pass@{k}</th>
            ))}
            {hasMajority && <th>majority</th>}
            {hasGreedy && <th>greedy</th>}
            <th class="number">never solved</th>
            <th class="number">mean reward</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row">{row.name}</th>
              <td class="number">{formatNumber(row.questions)}</td>
              {ks.map((k) => (
                <td key={k}>
                  <IntervalBar interval={row.passAt.find((found) => found.k === k) ?? null} />
                </td>
              ))}
              {hasMajority && (
                <td>
                  <IntervalBar interval={row.majority} />
                </td>
              )}
              {hasGreedy && (
                <td>
                  <IntervalBar interval={row.greedy} />
                </td>
              )}
              <td class="number">{formatNumber(row.persistentFailures)}</td>
              <td class="number">{formatNumber(row.meanReward)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A point with its 95 % interval on a scale from 0 to 1. */
function IntervalBar({ interval }: { readonly interval: Interval | null }) {
  if (interval === null) return <span class="muted">–</span>;
  const { value, low, high } = interval;
  const label = `${formatPercent(value)}, 95 % interval ${formatPercent(low)} to ${formatPercent(high)}`;
  return (
    <span class="interval" title={label}>
      <b>{formatPercent(value)}</b>
      <svg viewBox="0 0 100 10" width={100} height={10} role="img" aria-label={label}>
        <line class="axis" x1="0" x2="100" y1="5" y2="5" />
        <line class="range" x1={100 * low} x2={100 * high} y1="5" y2="5" />
        <circle cx={100 * value} cy="5" r="3" />
      </svg>
      <small class="muted">
        {(100 * low).toFixed(1)}–{(100 * high).toFixed(1)}
      </small>
    </span>
  );
}

/** Pass rates over the steps of training, with their intervals as bands. */
function Through({ runId, evaluations }: { readonly runId: string; readonly evaluations: readonly EvaluationView[] }) {
  const [cursor, setCursor] = useState<number | null>(null);
  const during = useMemo(() => evaluations.filter(({ step }) => step !== null), [evaluations]);
  const curves = useMemo(() => passCurves(during), [during]);
  if (during.length < 2) return null;
  return (
    <div class="charts wide">
      <Chart
        title={`Through training (${during[0]!.benchmarks[0]?.name ?? "all"})`}
        meaning="Bands are 95 % bootstrap intervals over questions"
        format="percent"
        minimum={0}
        curves={curves}
        from={during[0]!.step!}
        to={during.at(-1)!.step!}
        smoothing={0}
        cursor={cursor}
        onCursor={setCursor}
        onZoom={() => {}}
        onCsv={() => save(`${fileName(runId, "evaluations")}.csv`, "text/csv", table(evaluations))}
      />
    </div>
  );
}

function passCurves(during: readonly EvaluationView[]): Curve[] {
  const rows: (readonly [string, (result: BenchmarkResult) => Interval | null])[] = [
    ["pass@1", ({ passAt }) => passAt.find(({ k }) => k === 1) ?? null],
    ["greedy", ({ greedy }) => greedy],
    ["majority", ({ majority }) => majority],
    ["pass@k, largest k", ({ passAt }) => (passAt.length > 1 ? passAt.at(-1)! : null)],
  ];
  return rows.flatMap(([label, pick], colour): Curve[] => {
    const points = during.map(({ step, benchmarks }) => {
      const found = benchmarks[0] === undefined ? null : pick(benchmarks[0]);
      return { step: step!, value: found?.value ?? null, low: found?.low ?? null, high: found?.high ?? null };
    });
    return points.every(({ value }) => value === null) ? [] : [{ label, colour, points }];
  });
}

function titleOf({ step, name }: EvaluationView): string {
  return name ?? `after step ${step}`;
}

function table(evaluations: readonly EvaluationView[]): string {
  return csv(
    ["evaluation", "benchmark", "questions", "measure", "value", "low", "high"],
    evaluations.flatMap((evaluation) =>
      evaluation.benchmarks.flatMap((row) =>
        [
          ...row.passAt.map((found) => ({ measure: `pass@${found.k}`, found })),
          { measure: "majority", found: row.majority },
          { measure: "greedy", found: row.greedy },
        ].flatMap(({ measure, found }) =>
          found === null
            ? []
            : [[titleOf(evaluation), row.name, row.questions, measure, found.value, found.low, found.high]],
        ),
      ),
    ),
  );
}

/** Charts that share crosshair, zoom and smoothing, of one run or of several. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { SeriesAnswer } from "../../contract/runs.js";
import { Problem } from "../components/state.js";
import { apiPath, fetchJson } from "../state/data.js";
import type { ChartSpec } from "./catalog.js";
import { Chart } from "./chart.js";
import { type Curve, curvePoints } from "./curve.js";
import { fileName } from "./export.js";

const POINTS = 400;

export interface ChartedRun {
  readonly id: string;
  /** In the legend, where several runs stand together. */
  readonly label: string | null;
}

export interface ChartGridProps {
  readonly charts: readonly ChartSpec[];
  readonly runs: readonly ChartedRun[];
  readonly from: number;
  readonly to: number;
  readonly revision: number;
}

export function ChartGrid({ charts, runs, from, to, revision }: ChartGridProps) {
  const [zoom, setZoom] = useState<readonly [number, number] | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const [smoothing, setSmoothing] = useState(0);
  const range = zoom ?? ([from, to] as const);
  const { answers, error } = useSeries(charts, runs, zoom, revision);
  const curves = useMemo(() => charts.map((chart) => curvesOf(chart, runs, answers)), [charts, runs, answers]);
  const bucket = Math.max(1, ...answers.map(({ bucketSteps }) => bucketSteps));
  return (
    <>
      <div class="chart-bar">
        <label>
          Smoothing{" "}
          <input
            type="range"
            min="0"
            max="0.98"
            step="0.02"
            value={smoothing}
            onInput={(event) => setSmoothing(Number(event.currentTarget.value))}
          />
        </label>
        {bucket > 1 && (
          <span class="muted">a point is the mean of {bucket} steps; the band their lowest and highest</span>
        )}
        {zoom !== null && (
          <button type="button" onClick={() => setZoom(null)}>
            Steps {zoom[0]}–{zoom[1]} · show all
          </button>
        )}
      </div>
      {error !== null && <Problem text={error} />}
      <div class="charts">
        {charts.map((chart, i) => (
          <Chart
            key={chart.title}
            {...{ title: chart.title, meaning: chart.meaning, format: chart.format, minimum: chart.minimum }}
            {...{ smoothing, cursor, onCursor: setCursor, onZoom: setZoom }}
            curves={curves[i]!}
            from={range[0]}
            to={range[1]}
            onCsv={() => downloadCsv(chart, runs)}
          />
        ))}
      </div>
    </>
  );
}

function useSeries(
  charts: readonly ChartSpec[],
  runs: readonly ChartedRun[],
  zoom: readonly [number, number] | null,
  revision: number,
): { readonly answers: readonly SeriesAnswer[]; readonly error: string | null } {
  const [answers, setAnswers] = useState<readonly SeriesAnswer[]>([]);
  const [error, setError] = useState<string | null>(null);
  const paths = runs.map(({ id }) =>
    apiPath(["runs", id, "series"], {
      metric: charts.flatMap(({ curves }) => curves.map(({ metric }) => metric)),
      from: zoom?.[0],
      to: zoom?.[1],
      points: POINTS,
    }),
  );
  const wanted = paths.join("\n");
  useEffect(() => {
    const abort = new AbortController();
    Promise.all(wanted.split("\n").map((path) => fetchJson<SeriesAnswer>(path, abort.signal))).then(
      (found) => {
        setAnswers(found);
        setError(null);
      },
      (problem: Error) => {
        if (!abort.signal.aborted) setError(problem.message);
      },
    );
    return () => abort.abort();
  }, [wanted, revision]);
  return { answers, error };
}

function curvesOf(chart: ChartSpec, runs: readonly ChartedRun[], answers: readonly SeriesAnswer[]): Curve[] {
  const several = runs.length > 1;
  return runs.flatMap((run, runNumber) => {
    const answer = answers.find(({ runId }) => runId === run.id);
    return chart.curves.flatMap(({ metric, label }, curveNumber): Curve[] => {
      const series = answer?.series.find((found) => found.metric === metric);
      // A metric that the run has but that never counted anything is no curve.
      if (series === undefined || series.points.every(([, mean]) => mean === null)) return [];
      const name = run.label === null ? label : chart.curves.length === 1 ? run.label : `${run.label} · ${label}`;
      return [{ label: name, colour: several ? runNumber : curveNumber, points: curvePoints(series.points) }];
    });
  });
}

/** Every step, from the server: one file a run. */
function downloadCsv(chart: ChartSpec, runs: readonly ChartedRun[]): void {
  for (const { id } of runs) {
    const link = document.createElement("a");
    link.href = apiPath(["runs", id, "series.csv"], { metric: chart.curves.map(({ metric }) => metric) });
    link.download = `${fileName(id, chart.title)}.csv`;
    link.click();
  }
}

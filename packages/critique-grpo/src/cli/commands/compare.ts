import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { AXES, type Axis, groupCurve } from "../../compare/curves.js";
import { findRuns } from "../../compare/find-runs.js";
import { groupByConfig, groupByLabel, REPETITION_KEYS, type RunGroup } from "../../compare/groups.js";
import { renderComparisonPage } from "../../compare/page.js";
import { type ComparedRun, readComparedRun } from "../../compare/series.js";
import { type GroupSummary, type MetricSummary, summariseGroup } from "../../compare/summary.js";
import { InputError } from "../../config/errors.js";
import { didYouMean } from "../../config/nearest.js";
import { renderLineFigure } from "../../figure/line-figure.js";
import { writeFileAtomic } from "../../run/files.js";
import { SCHEMA_VERSION } from "../../run/records.js";
import { type CliIo, EXIT } from "../io.js";
import { formatNumber, formatTable } from "../output/format.js";
import { newCommand, parseNumber } from "./common.js";

const EXAMPLES = `
A RUN is a run directory, a folder of runs, or either with a label, label=RUN; runs of one label are a group.

Examples:
  critique-grpo compare runs/a runs/b
  critique-grpo compare runs/quickstart --ignore engine.model data.files evaluation.files
  critique-grpo compare mine=runs/mine-1 mine=runs/mine-2 base=runs/base-1 base=runs/base-2 --html compare.html
  critique-grpo compare runs/a runs/b --metric reward entropy --x tokens --smooth 10 --svg curves.svg

Without labels, runs whose configurations differ in nothing but ${REPETITION_KEYS.join(", ")} (and the keys after
--ignore) are a group. The table has the last evaluation, and of training metrics the mean over the last tenth of the steps.
A group of several runs is shown as its mean ± half of the 95 % t-interval over runs.`;

/** What is shown unless metrics are named, as far as the runs have it. */
const DEFAULT_METRICS = [
  "evaluation/pass@1",
  "evaluation/greedy",
  "reward",
  "loss",
  "entropy",
  "completions/mean_length",
  "refinement/fix_rate",
  "refinement/gradient_share",
  "tokens/generated_total",
  "seconds/step",
];

const AXIS_TITLES: Readonly<Record<Axis, string>> = { step: "step", tokens: "sampled tokens", seconds: "seconds" };

interface CompareOptions {
  readonly metric?: readonly string[];
  readonly ignore?: readonly string[];
  readonly x: Axis;
  readonly smooth: number;
  readonly json?: boolean;
  readonly html?: string;
  readonly svg?: string;
}

export function compareCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("compare", "runs side by side: a table, and plots with --html or --svg")
    .argument("<run...>", "run directories, folders of runs, or label=directory")
    .option(
      "--metric <name...>",
      "what to show (docs/metrics.md; evaluations: evaluation/pass@1, evaluation/greedy, …)",
    )
    .option("--ignore <key...>", "configuration keys in which repetitions differ, beside seed and run directory")
    .addOption(new Option("--x <axis>", "axis of the plots").choices(AXES).default("step"))
    .option("--smooth <n>", "plot the mean of the last n steps of training metrics", parseNumber(1, true), 1)
    .option("--json", "print groups, values, intervals and curves as JSON")
    .option("--html <file>", "write table and plots as one HTML file")
    .option("--svg <file>", "write the plots")
    .addHelpText("after", EXAMPLES)
    .action(async (runs: string[], options: CompareOptions) => finish(await runCompare(io, runs, options)));
}

async function runCompare(io: CliIo, named: readonly string[], options: CompareOptions): Promise<number> {
  const groups = await loadGroups(named, options.ignore ?? []);
  const metrics = chooseMetrics(groups, options.metric);
  const summaries = groups.map((group) => summariseGroup(group, metrics));
  const curves = (metric: string) =>
    groups.map((group) => ({ label: group.label, points: groupCurve(group, metric, options.x, options.smooth) }));
  const figure = () =>
    renderLineFigure(
      metrics.map((metric) => ({
        title: metric,
        xTitle: AXIS_TITLES[options.x],
        lines: curves(metric).map(({ label, points }) => ({
          label,
          points: points.map(({ x, value, low, high }) => ({ x, y: value, low, high })),
        })),
      })),
      { description: `${metrics.join(", ")} of ${groups.map((group) => group.label).join(", ")}` },
    );
  const table = comparisonTable(summaries, metrics);
  if (options.svg !== undefined) await writeFileAtomic(options.svg, figure());
  if (options.html !== undefined) {
    const notes = [
      "Evaluations: the last one. Training metrics: mean over the last tenth of the steps. ±: half of the 95 % t-interval over runs; bands likewise.",
    ];
    const title = `Comparison of ${groups.map((group) => group.label).join(", ")}`;
    await writeFileAtomic(options.html, renderComparisonPage({ title, table, figure: figure(), notes }));
  }
  io.stdout.write(
    options.json
      ? `${JSON.stringify({
          schemaVersion: SCHEMA_VERSION,
          x: options.x,
          smooth: options.smooth,
          groups: summaries.map((summary, index) => ({
            ...summary,
            curves: Object.fromEntries(
              metrics.map((metric) => [metric, groupCurve(groups[index]!, metric, options.x, options.smooth)]),
            ),
          })),
        })}\n`
      : `${formatTable(table)}\n`,
  );
  for (const file of [options.svg, options.html]) if (file !== undefined) io.stderr.write(`${resolve(file)}\n`);
  return EXIT.ok;
}

/** @throws InputError if a name is no run, or only some have labels. */
async function loadGroups(named: readonly string[], ignored: readonly string[]): Promise<RunGroup[]> {
  const labelled = named.map((text) => /^([^=/\\]+)=(.+)$/.exec(text));
  const directories = labelled.map((match, index) => match?.[2] ?? named[index]!);
  const found = await Promise.all(directories.map(findRuns));
  const loaded = await Promise.all(found.map((runs) => Promise.all(runs.map(readRun))));
  if (labelled.every((match) => match === null)) return groupByConfig(loaded.flat(), [...REPETITION_KEYS, ...ignored]);
  const plain = labelled.indexOf(null);
  if (plain >= 0) {
    throw new InputError(`${named[plain]} has no label but other runs have; give every run one, label=${named[plain]}`);
  }
  if (ignored.length > 0) throw new InputError("--ignore is not used with labels, which say what belongs together");
  return groupByLabel(loaded.flatMap((runs, index) => runs.map((run) => ({ label: labelled[index]![1]!, run }))));
}

async function readRun(directory: string): Promise<ComparedRun> {
  try {
    return await readComparedRun(directory);
  } catch (error) {
    throw new InputError((error as Error).message, { cause: error });
  }
}

function chooseMetrics(groups: readonly RunGroup[], wanted: readonly string[] | undefined): readonly string[] {
  const known = [...new Set(groups.flatMap(({ runs }) => runs.flatMap((run) => [...run.series.keys()])))].sort();
  if (wanted === undefined) {
    const usual = DEFAULT_METRICS.filter((metric) => known.includes(metric));
    if (usual.length > 0) return usual;
    throw new InputError("these runs have no metrics yet: not a step is done");
  }
  for (const metric of wanted) {
    if (!known.includes(metric)) {
      throw new InputError(
        `--metric ${metric}: no run has it${didYouMean(metric, known)}; there are ${known.join(", ")}`,
      );
    }
  }
  return wanted;
}

function comparisonTable(summaries: readonly GroupSummary[], metrics: readonly string[]): string[][] {
  return [
    ["", "runs", "steps", ...metrics],
    ...summaries.map(({ label, runs, steps, metrics: values }) => [
      label,
      String(runs.length),
      span(steps),
      ...metrics.map((name) => formatSummary(values.find(({ metric }) => metric === name))),
    ]),
  ];
}

/** "90", or "80–90" where runs differ. */
function span(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : `${low}–${high}`;
}

function formatSummary(summary: MetricSummary | undefined): string {
  if (summary === undefined) return "–";
  const margin = summary.high - summary.value;
  return Number.isFinite(margin)
    ? `${formatNumber(summary.value)} ± ${formatNumber(Number(margin.toPrecision(2)))}`
    : formatNumber(summary.value);
}

/** Live progress: one redrawing block on a terminal, plain lines elsewhere. Both are sinks of the run's events. */
import type { EventSink, RunEvent } from "../../run/events.js";
import type { OutputStream } from "../io.js";
import { formatCount, formatDuration, formatNumber, formatPercent, sparkline } from "./format.js";

export interface Progress {
  readonly sink: EventSink;
  /** A line that stays. */
  readonly note: (text: string) => void;
  /** Ends the redrawing block. */
  readonly close: () => void;
}

export interface ProgressOptions {
  readonly stream: OutputStream;
  /** Shown in the head of the block. */
  readonly title: string;
  readonly now?: () => number;
}

type Metrics = Readonly<Record<string, number>>;

/** Steps that the estimate of the time left looks back on. */
const ETA_STEPS = 20;
const REDRAW_MS = 250;

/** A run that samples nothing has no reward. */
function rewardOrLoss({ reward = Number.NaN, loss = Number.NaN }: Metrics): number {
  return Number.isNaN(reward) ? loss : reward;
}

/** What both displays know. */
class RunView {
  step = 0;
  steps = 0;
  phase = "";
  metrics: Metrics = {};
  readonly rewards: number[] = [];
  readonly #seconds: number[] = [];

  /** Takes what the event tells. */
  update(event: RunEvent): void {
    switch (event.type) {
      case "run-started":
        this.step = event.step;
        this.steps = event.steps;
        return;
      case "phase":
        this.phase = event.phase;
        return;
      case "step-finished":
        this.step = event.step;
        this.steps = event.steps;
        this.metrics = event.metrics;
        this.rewards.push(rewardOrLoss(event.metrics));
        this.#seconds.push(event.metrics["seconds/step"] ?? Number.NaN);
        return;
      default:
    }
  }

  get etaSeconds(): number {
    const recent = this.#seconds.slice(-ETA_STEPS);
    return (recent.reduce((a, b) => a + b, 0) / recent.length) * (this.steps - this.step);
  }

  /** Tokens generated and trained over the seconds of the step. */
  get tokensPerSecond(): number {
    const tokens = (this.metrics["tokens/generated"] ?? 0) + (this.metrics["tokens/trained"] ?? 0);
    return tokens / (this.metrics["seconds/step"] ?? Number.NaN);
  }

  /** Name and value of what is worth a glance, in the order shown. */
  headline(): [string, string][] {
    const { metrics } = this;
    const has = (key: string) => metrics[key] !== undefined;
    const entries: [string, string][] = [];
    if (has("reward") && !Number.isNaN(metrics.reward)) entries.push(["reward", formatNumber(metrics.reward)]);
    else if (has("loss")) entries.push(["loss", formatNumber(metrics.loss)]);
    if (has("initial_accuracy")) entries.push(["accuracy", formatPercent(metrics.initial_accuracy)]);
    if (has("refinement/accuracy")) entries.push(["refined", formatPercent(metrics["refinement/accuracy"])]);
    if (has("entropy")) entries.push(["entropy", formatNumber(metrics.entropy)]);
    if (has("completions/mean_length")) entries.push(["length", formatNumber(metrics["completions/mean_length"])]);
    if (has("grad_norm")) entries.push(["grad", formatNumber(metrics.grad_norm)]);
    entries.push(["tokens/s", formatCount(this.tokensPerSecond)]);
    return entries;
  }
}

/** A line of text for an event that deserves one on every display. */
function describe(event: RunEvent): string | undefined {
  switch (event.type) {
    case "run-started":
      return event.resumed ? `continuing after step ${event.step} of ${event.steps}` : undefined;
    case "evaluation":
      return `evaluation after step ${event.step}: ${describeEvaluation(event.result)}`;
    case "warning":
      return `warning (step ${event.step}): ${event.message}`;
    case "run-finished":
      return `finished ${event.step} steps${event.model === null ? "" : `; model in ${event.model}`}`;
    case "run-interrupted":
      return `stopped after step ${event.step}; continue with --resume`;
    case "phase":
    case "step-finished":
    case "checkpoint":
    case "run-failed":
      return undefined;
    default:
      throw new RangeError(`unknown event ${JSON.stringify(event satisfies never)}`);
  }
}

function describeEvaluation(result: Readonly<Record<string, unknown>>): string {
  const value = (estimate: unknown) =>
    typeof estimate === "object" && estimate !== null && "value" in estimate ? Number(estimate.value) : undefined;
  const passAt = (Array.isArray(result.passAt) ? result.passAt : []) as { k: number; value: number }[];
  const last = passAt.at(-1);
  const sources = (Array.isArray(result.sources) ? result.sources : []) as { dataSource: string; pass1: unknown }[];
  return [
    `pass@1 ${formatPercent(value(result.pass1))}`,
    ...(last && last.k > 1 ? [`pass@${last.k} ${formatPercent(last.value)}`] : []),
    ...(result.greedy === undefined ? [] : [`greedy ${formatPercent(value(result.greedy))}`]),
    `never solved ${String(result.persistentFailures)}/${String(result.questions)}`,
    // Of one source the line has said it all.
    ...(sources.length < 2
      ? []
      : sources.map(({ dataSource, pass1 }) => `${dataSource} ${formatPercent(value(pass1))}`)),
  ].join("  ");
}

/** The display that fits the stream. */
export function createProgress(options: ProgressOptions): Progress {
  return options.stream.isTTY ? liveProgress(options) : plainProgress(options);
}

/** One line a step: for logs and CI. */
export function plainProgress({ stream }: ProgressOptions): Progress {
  const view = new RunView();
  const note = (text: string) => void stream.write(`${text}\n`);
  return {
    sink: (event) => {
      view.update(event);
      if (event.type === "step-finished") {
        const seconds = formatNumber(event.metrics["seconds/step"]);
        const values = view.headline().map(([name, value]) => `${name} ${value}`);
        note(
          [`step ${view.step}/${view.steps}`, ...values, `${seconds} s`, `ETA ${formatDuration(view.etaSeconds)}`].join(
            "  ",
          ),
        );
      }
      const text = describe(event);
      if (text !== undefined) note(text);
    },
    note,
    close: () => {},
  };
}

/** A block of lines at the bottom of the terminal, redrawn in place; notes scroll by above it. */
export function liveProgress({ stream, title, now = () => performance.now() }: ProgressOptions): Progress {
  const view = new RunView();
  const started = now();
  let drawn = 0;
  let open = false;

  const erase = () => {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  const draw = () => {
    const width = Math.max(20, (stream.columns || 80) - 1);
    const lines = block(view, title, (now() - started) / 1000, width);
    erase();
    stream.write(`${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  const note = (text: string) => {
    erase();
    stream.write(`${text}\n`);
    if (open) draw();
  };
  const timer = setInterval(() => {
    if (open) draw();
  }, REDRAW_MS);
  timer.unref();
  return {
    sink: (event) => {
      open = true;
      view.update(event);
      const text = describe(event);
      if (text !== undefined) note(text);
      else draw();
    },
    note,
    close: () => {
      clearInterval(timer);
      if (open) draw();
      open = false;
      drawn = 0;
    },
  };
}

function block(view: RunView, title: string, elapsedSeconds: number, width: number): string[] {
  const barWidth = Math.max(10, Math.min(40, width - 40));
  const filled = view.steps === 0 ? 0 : Math.round((view.step / view.steps) * barWidth);
  const lines = [
    `${title}${view.phase === "" ? "" : ` · ${view.phase}`}`,
    `${"█".repeat(filled)}${"░".repeat(barWidth - filled)} step ${view.step}/${view.steps}  elapsed ${formatDuration(elapsedSeconds)}  ETA ${formatDuration(view.etaSeconds)}`,
  ];
  if (view.rewards.length > 0) {
    const entries = view.headline();
    lines.push(entries.map(([name, value]) => `${name} ${value}`).join("  "));
    lines.push(`${entries[0]![0]} ${sparkline(view.rewards)}`);
  }
  // A line that wraps would be counted wrongly when it is erased.
  return lines.map((line) => (line.length > width ? `${line.slice(0, width - 1)}…` : line));
}

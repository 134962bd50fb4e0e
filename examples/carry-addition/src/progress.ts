/** What the quickstart says while it works: one live line on a terminal, a plain line every few seconds elsewhere. */
import type { EventSink } from "critique-grpo";

const PLAIN_INTERVAL_SECONDS = 5;

export interface ProgressOutput {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export class Progress {
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #start: number;
  #lastPlain = Number.NEGATIVE_INFINITY;
  #live = false;

  /** `now` in seconds. */
  constructor(output: ProgressOutput = process.stdout, now: () => number = () => performance.now() / 1000) {
    this.#output = output;
    this.#now = now;
    this.#start = now();
  }

  get elapsedSeconds(): number {
    return this.#now() - this.#start;
  }

  /** A line that stays. */
  say(text: string): void {
    this.#clear();
    this.#output.write(`${this.#stamp()} ${text}\n`);
  }

  /** Text without a time stamp, for tables. */
  print(text: string): void {
    this.#clear();
    this.#output.write(`${text}\n`);
  }

  /** What is going on right now: replaces the line before on a terminal, is thinned out elsewhere. */
  update(text: string): void {
    if (this.#output.isTTY === true) {
      const line = `${this.#stamp()} ${text}`.slice(0, Math.max(20, (this.#output.columns ?? 80) - 1));
      this.#output.write(`\r\x1b[2K${line}`);
      this.#live = true;
      return;
    }
    const now = this.#now();
    if (now - this.#lastPlain < PLAIN_INTERVAL_SECONDS) return;
    this.#lastPlain = now;
    this.#output.write(`${this.#stamp()} ${text}\n`);
  }

  /** Shows the steps of a run and keeps its warnings. */
  sink(label: string): EventSink {
    let start = this.#now();
    return (event) => {
      if (event.type === "run-started") start = this.#now();
      if (event.type === "warning") this.say(`${label}: ${event.message}`);
      if (event.type !== "step-finished") return;
      const { metrics, step, steps } = event;
      const parts = [`${label} ${step}/${steps}`];
      const show = (name: string, key: string, digits: number) => {
        const value = metrics[key];
        if (value !== undefined && !Number.isNaN(value)) parts.push(`${name} ${value.toFixed(digits)}`);
      };
      if (metrics.reward === undefined) show("loss", "loss", 3);
      show("reward", "reward", 2);
      show("refined", "refinement/kept_accuracy", 2);
      parts.push(`${(((this.#now() - start) / step) * (steps - step)).toFixed(0)} s left`);
      this.update(parts.join(" · "));
    };
  }

  #stamp(): string {
    return `[${this.elapsedSeconds.toFixed(0).padStart(4)} s]`;
  }

  #clear(): void {
    if (this.#live) this.#output.write("\r\x1b[2K");
    this.#live = false;
  }
}

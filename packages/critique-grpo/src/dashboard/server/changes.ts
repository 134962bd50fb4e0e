/** Tells open pages what has changed on disk, by server-sent events. */
import { stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import type { RunChange } from "@critique-grpo/dashboard";
import { METRICS_FILE } from "../../run/run-directory.js";
import type { RunPlace, Runs } from "../data/runs.js";
import { observedStatus } from "../views/run.js";

const POLL_MS = 700;
/** Proxies and browsers give up on a connection that says nothing. */
const PING_MS = 15_000;
/** A page needs one connection; more than these are a mistake. */
const MAX_LISTENERS = 32;

export class ChangeFeed {
  readonly #runs: Runs;
  readonly #listeners = new Set<ServerResponse>();
  /** What was told last, by run. */
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | null = null;
  #pinged = 0;

  constructor(runs: Runs) {
    this.#runs = runs;
  }

  /** Keeps the response open; false if there are too many. */
  subscribe(response: ServerResponse, headers: Readonly<Record<string, string>>): boolean {
    if (this.#listeners.size >= MAX_LISTENERS) return false;
    response.writeHead(200, { ...headers, "content-type": "text/event-stream", "x-accel-buffering": "no" });
    response.write("retry: 1000\n\n");
    this.#listeners.add(response);
    response.on("close", () => {
      this.#listeners.delete(response);
      if (this.#listeners.size === 0) this.#stop();
    });
    if (this.#timer === null) this.#schedule();
    return true;
  }

  close(): void {
    this.#stop();
    for (const listener of this.#listeners) listener.end();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      // A run that is removed while it is looked at is no reason to stop looking.
      this.#poll()
        .catch(() => {})
        .finally(() => {
          if (this.#timer !== null) this.#schedule();
        });
    }, POLL_MS);
    this.#timer.unref();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #poll(): Promise<void> {
    for (const place of (await this.#runs.list()).runs.values()) await this.#look(place);
    if (performance.now() - this.#pinged < PING_MS) return;
    this.#pinged = performance.now();
    for (const listener of this.#listeners) listener.write(": still here\n\n");
  }

  async #look(place: RunPlace): Promise<void> {
    const status = await observedStatus(place.directory);
    const metrics = await stat(join(place.directory, METRICS_FILE)).catch(() => null);
    const { state = "unknown", step = 0, phase = null, heartbeatAt = null } = status ?? {};
    const change: RunChange = { runId: place.id, state, step, phase, heartbeatAt };
    // A heartbeat alone is worth telling: it shows that the run lives.
    const seen = JSON.stringify([change, metrics?.size, metrics?.mtimeMs]);
    const before = this.#told.get(place.id);
    this.#told.set(place.id, seen);
    if (before === seen || (before === undefined && state !== "running")) return;
    for (const listener of this.#listeners) listener.write(`event: run\ndata: ${JSON.stringify(change)}\n\n`);
  }
}

/** status.json: a heartbeat, so that a crashed run is not taken for a running one. */
import { hostname } from "node:os";
import { join } from "node:path";
import { readIfPresent, writeFileAtomic } from "./files.js";
import { SCHEMA_VERSION, type StatusRecord } from "./records.js";

export const STATUS_FILE = "status.json";
const HEARTBEAT_MS = 5_000;
/** A run whose last heartbeat is older is taken for dead where its process cannot be asked. */
const STALE_MS = 60_000;

export type ObservedStatus = Omit<StatusRecord, "state"> & {
  /** "crashed": the file says running, but the process is gone or its heartbeat has stopped. */
  readonly state: StatusRecord["state"] | "crashed";
};

type Changing = Pick<StatusRecord, "state" | "step" | "phase" | "error">;

/** Keeps status.json fresh: at each change of state or step, and on a timer. */
export class StatusWriter {
  readonly #path: string;
  readonly #fixed: Pick<StatusRecord, "task" | "steps" | "startedAt">;
  #current: Changing;
  #timer: NodeJS.Timeout | undefined;
  /** Writes run one after another. */
  #queue: Promise<void> = Promise.resolve();

  constructor(directory: string, task: StatusRecord["task"], step: number, steps: number) {
    this.#path = join(directory, STATUS_FILE);
    this.#fixed = { task, steps, startedAt: new Date().toISOString() };
    this.#current = { state: "running", step, phase: null };
  }

  async start(): Promise<void> {
    await this.#write();
    this.#timer = setInterval(() => {
      // A failed heartbeat shows at the next awaited write; the timer must not crash the process.
      this.#write().catch(() => {});
    }, HEARTBEAT_MS);
    this.#timer.unref();
  }

  /** Remembered, and written with the next heartbeat or update. */
  setPhase(phase: string): void {
    this.#current = { ...this.#current, phase };
  }

  async update(change: Partial<Changing>): Promise<void> {
    this.#current = { ...this.#current, ...change };
    await this.#write();
  }

  /** Stops the heartbeat after all writes. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue.catch(() => {});
  }

  #write(): Promise<void> {
    const write = this.#queue
      .catch(() => {})
      .then(() => {
        const record: StatusRecord = {
          schemaVersion: SCHEMA_VERSION,
          ...this.#current,
          ...this.#fixed,
          pid: process.pid,
          host: hostname(),
          heartbeatAt: new Date().toISOString(),
        };
        return writeFileAtomic(this.#path, `${JSON.stringify(record, null, 2)}\n`, { sync: false });
      });
    this.#queue = write;
    return write;
  }
}

/** The state of a run as it is now; null if the directory has no status. */
export async function readStatus(directory: string): Promise<ObservedStatus | null> {
  const content = await readIfPresent(join(directory, STATUS_FILE));
  if (content === null) return null;
  const status = JSON.parse(content) as StatusRecord;
  return status.state === "running" && !isAlive(status) ? { ...status, state: "crashed" } : status;
}

function isAlive(status: StatusRecord): boolean {
  if (Date.now() - Date.parse(status.heartbeatAt) > STALE_MS) return false;
  if (status.host !== hostname()) return true;
  try {
    process.kill(status.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

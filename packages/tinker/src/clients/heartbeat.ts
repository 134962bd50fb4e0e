import { Worker } from "node:worker_threads";

export interface HeartbeatOptions {
  readonly url: string;
  readonly tokenUrl: string;
  readonly sessionId: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The raw key; the worker exchanges it for a token itself where the server wants one. */
  readonly apiKey: string;
  readonly exchangeToken: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Without a successful heartbeat for this long, or at once where the session is unknown, `onLost` is called, once per outage. */
  readonly lostAfterMs: number;
  readonly onLost: (silentMs: number, problem: string) => void;
}

/**
 * The worker's program. It is a string so that it runs from TypeScript sources, from the built package and from bundles
 * alike. No retry within a beat: the next one comes soon enough.
 */
const WORKER_PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
const { options, shared } = workerData;
const times = new Float64Array(shared);
const client = options.url.startsWith("https:") ? require("node:https") : require("node:http");
let token = "";
let lastSuccess = performance.timeOrigin + performance.now();
let reported = false;
function post(url, key, body) {
  return new Promise((resolve, reject) => {
    const data = Buffer.from(JSON.stringify(body));
    const headers = { ...options.headers, "content-type": "application/json", accept: "application/json", "content-length": data.length };
    if (key !== "") headers["x-api-key"] = key;
    const request = client.request(url, { method: "POST", headers, timeout: options.timeoutMs }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString("utf8") }));
    });
    const timer = setTimeout(() => request.destroy(new Error("no answer within " + options.timeoutMs + " ms")), options.timeoutMs);
    request.on("close", () => clearTimeout(timer));
    request.on("error", reject);
    request.end(data);
  });
}
async function beat() {
  let problem = "";
  let gone = false;
  try {
    if (options.exchangeToken && token === "") token = JSON.parse((await post(options.tokenUrl, options.apiKey, {})).text).jwt || "";
    const answer = await post(options.url, options.exchangeToken ? token : options.apiKey, { session_id: options.sessionId, type: "session_heartbeat" });
    if (answer.status === 401) token = "";
    if (answer.status >= 200 && answer.status < 300) {
      lastSuccess = performance.timeOrigin + performance.now();
      times[0] = lastSuccess;
      times[1] += 1;
      reported = false;
      return;
    }
    problem = "status " + answer.status;
    // The session is gone, not just out of reach: no use in waiting to say so.
    gone = answer.status === 404;
  } catch (error) {
    problem = String(error && error.message ? error.message : error);
  }
  const silent = performance.timeOrigin + performance.now() - lastSuccess;
  if ((gone || silent >= options.lostAfterMs) && !reported) {
    reported = true;
    parentPort.postMessage({ silentMs: silent, problem });
  }
}
let busy = false;
const run = () => { if (!busy) { busy = true; beat().finally(() => { busy = false; }); } };
setInterval(run, options.intervalMs);
run();
`;

/**
 * Keeps a session alive from a worker thread, so that work that keeps the main thread busy (grading, tokenising, a garbage
 * collection) cannot starve it: a server unloads the models of a session that falls silent.
 */
export class Heartbeat {
  private readonly worker: Worker;
  private readonly times: Float64Array;

  constructor(options: HeartbeatOptions) {
    const shared = new SharedArrayBuffer(16);
    this.times = new Float64Array(shared);
    const { onLost, ...plain } = options;
    this.worker = new Worker(WORKER_PROGRAM, { eval: true, workerData: { options: plain, shared }, env: {} });
    this.worker.on("message", (message: { silentMs: number; problem: string }) =>
      onLost(message.silentMs, message.problem),
    );
    this.worker.on("error", (error) => onLost(0, `the heartbeat thread died: ${error.message}`));
    // A program that is done must not be kept running by its heartbeat.
    this.worker.unref();
  }

  /** Successful heartbeats so far. */
  get count(): number {
    return this.times[1]!;
  }

  /** Time of the last success, milliseconds since 1970; 0 before the first. */
  get lastSuccessMs(): number {
    return this.times[0]!;
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}

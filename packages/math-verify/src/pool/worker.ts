import { type MessagePort, workerData } from "node:worker_threads";
import { verify } from "../verify.js";
import type { Task, WorkerMessage } from "./protocol.js";

/** Answers tasks one at a time; "started" lets the pool begin its timeout with the work. */
function serve(port: MessagePort): void {
  const send = (message: WorkerMessage): void => port.postMessage(message);
  port.on("message", (task: Task) => {
    send({ type: "started", id: task.id });
    const start = performance.now();
    let verdict = null;
    try {
      verdict = verify(task.gold, task.prediction, task.options);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      verdict = { correct: false, outcome: "error", reason: message, gold: null, prediction: null } as const;
    }
    send({ type: "finished", id: task.id, verdict, elapsedMs: performance.now() - start });
  });
  send({ type: "ready" });
}

serve((workerData as { port: MessagePort }).port);

/** `transformers serve` with one model on this machine: an OpenAI-compatible server that is not ours. */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const START_SECONDS = 180;
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Starts the server and waits until it answers; `stop()` ends it. */
export async function startTransformersServe(model) {
  const port = await freePort();
  const program = join(root, ".venv", "teacher", "bin", "transformers");
  const argv = ["serve", model, "--host", "127.0.0.1", "--port", `${port}`, "--device", "cpu"];
  const env = { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_OFFLINE: "1", OMP_NUM_THREADS: "1" };
  const server = spawn(program, argv, { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (chunk) => (log += chunk));
  const ended = new Promise((resolve) => server.on("close", resolve));
  const stop = async () => {
    server.kill("SIGKILL");
    await ended;
  };
  const origin = `http://127.0.0.1:${port}`;
  for (let second = 0; second < START_SECONDS; second++) {
    if (server.exitCode !== null) break;
    const healthy = await fetch(`${origin}/health`).then(
      (response) => response.ok,
      () => false,
    );
    if (healthy)
      return { baseUrl: `${origin}/v1`, stop, requests: () => log.split("POST /v1/chat/completions").length - 1 };
    await sleep(1000);
  }
  await stop();
  throw new Error(`transformers serve did not start:\n${log}`);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts `critique-grpo serve` as a user would, runs serve_loops.py with the official SDK against it, stops it. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeServedModel } from "../../packages/critique-grpo/dist/testing/serve-fixture.js";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "tinker-sdk-serve-"));
const apiKey = "tml-conformance";
await writeServedModel(join(folder, "tiny"));

const cli = join(root, "packages", "critique-grpo", "dist", "cli", "main.js");
const server = spawn(
  process.execPath,
  [
    cli,
    "serve",
    "--model",
    join(folder, "tiny"),
    "--port",
    "0",
    "--checkpoints",
    join(folder, "saved"),
    "--threads",
    "1",
  ],
  { env: { ...process.env, CRITIQUE_GRPO_API_KEY: apiKey }, stdio: ["ignore", "pipe", "inherit"] },
);
let code = 1;
try {
  const url = await new Promise((resolve, reject) => {
    server.on("exit", (status) => reject(new Error(`serve ended with ${status}`)));
    createInterface({ input: server.stdout }).on("line", (line) => {
      const found = /http:\/\/\S+/.exec(line);
      if (found !== null) resolve(found[0]);
    });
  });
  code = await new Promise((resolve) => {
    const env = { ...process.env, TINKER_BASE_URL: url, TINKER_API_KEY: apiKey, TINKER_TELEMETRY: "0" };
    const python = join(root, ".venv", "tinker-sdk", "bin", "python");
    spawn(python, [join(here, "serve_loops.py")], { env, stdio: "inherit" }).on("exit", (status) =>
      resolve(status ?? 1),
    );
  });
} finally {
  server.removeAllListeners("exit");
  const stopped = new Promise((resolve) => server.on("exit", resolve));
  server.kill("SIGTERM");
  const status = server.exitCode ?? (await stopped);
  console.log(`${status === 0 ? "ok  " : "FAIL"} the server stops cleanly at SIGTERM: exit code ${status}`);
  if (status !== 0) code = 1;
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = code;

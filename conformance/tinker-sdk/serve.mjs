/**
 * Starts `critique-grpo serve` as a user would, runs serve_loops.py with the official SDK against it, stops it: as it is
 * (the SDK asks for LoRA), and with --full.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeServedModel } from "../../packages/critique-grpo/dist/testing/serve-fixture.js";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const cli = join(root, "packages", "critique-grpo", "dist", "cli", "main.js");
const apiKey = "tml-conformance";

/** Whether all checks passed. */
async function check(kind) {
  console.log(`== ${kind}`);
  const folder = mkdtempSync(join(tmpdir(), "tinker-sdk-serve-"));
  await writeServedModel(join(folder, "tiny"));
  const options = ["--port", "0", "--checkpoints", join(folder, "saved"), "--threads", "1"];
  const server = spawn(
    process.execPath,
    [cli, "serve", "--model", join(folder, "tiny"), ...options, ...(kind === "full" ? ["--full"] : [])],
    { env: { ...process.env, CRITIQUE_GRPO_API_KEY: apiKey }, stdio: ["ignore", "pipe", "inherit"] },
  );
  let passed = false;
  try {
    const url = await new Promise((resolve, reject) => {
      server.on("exit", (status) => reject(new Error(`serve ended with ${status}`)));
      createInterface({ input: server.stdout }).on("line", (line) => {
        const found = /http:\/\/\S+/.exec(line);
        if (found !== null) resolve(found[0]);
      });
    });
    const env = { ...process.env, TINKER_BASE_URL: url, TINKER_API_KEY: apiKey, TINKER_TELEMETRY: "0" };
    const python = join(root, ".venv", "tinker-sdk", "bin", "python");
    passed = await new Promise((resolve) => {
      const loops = spawn(python, [join(here, "serve_loops.py"), kind], { env, stdio: "inherit" });
      loops.on("exit", (status) => resolve(status === 0));
    });
  } finally {
    server.removeAllListeners("exit");
    const stopped = new Promise((resolve) => server.on("exit", resolve));
    server.kill("SIGTERM");
    const status = server.exitCode ?? (await stopped);
    console.log(`${status === 0 ? "ok  " : "FAIL"} the server stops cleanly at SIGTERM: exit code ${status}`);
    if (status !== 0) passed = false;
    rmSync(folder, { recursive: true, force: true });
  }
  return passed;
}

const results = [await check("lora"), await check("full")];
process.exitCode = results.every(Boolean) ? 0 : 1;

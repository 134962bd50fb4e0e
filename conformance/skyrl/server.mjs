/** Starts and stops a real SkyRL server (JAX on CPU) with the tiny model of make_model.py. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "..", "..");
const bin = join(root, ".venv", "skyrl", "bin");
export const python = join(bin, "python");
const environment = {
  ...process.env,
  PATH: `${bin}:${process.env.PATH}`,
  JAX_PLATFORMS: "cpu",
  // Compiling is most of a run; a second run finds it done.
  JAX_COMPILATION_CACHE_DIR: join(root, ".venv", "skyrl", "jax-cache"),
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS: "0",
  HF_HUB_OFFLINE: "1",
  TOKENIZERS_PARALLELISM: "false",
};

/** Builds the environment where it is missing. */
export function setUp() {
  execFileSync("bash", [join(here, "setup.sh")], { stdio: "inherit" });
}

/** Runs one of the Python scripts beside this file and gives what it prints. */
export function runPython(script, ...args) {
  return execFileSync(python, [join(here, script), ...args], {
    env: environment,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/**
 * A running server on loopback: its address, model directory, work folder, and a way to stop it with all its children.
 * SKYRL_SERVER names a JSON file that describes a server which runs already, and is then left running.
 */
export async function startSkyrl({ model, maxAdapters = 4, maxRank = 8 } = {}) {
  if (process.env.SKYRL_SERVER)
    return { ...JSON.parse(readFileSync(process.env.SKYRL_SERVER, "utf8")), stop: async () => {} };
  const folder = mkdtempSync(join(tmpdir(), "skyrl-conformance-"));
  const modelDirectory = model ?? join(folder, "model");
  if (model === undefined) runPython("make_model.py", modelDirectory);
  const port = await freePort();
  const log = join(folder, "server.log");
  const output = openSync(log, "w");
  const server = spawn(
    join(bin, "uv"),
    [
      "run",
      "-m",
      "skyrl.tinker.api",
      "--base-model",
      modelDirectory,
      "--backend",
      "jax",
      "--backend-config",
      JSON.stringify({ max_lora_adapters: maxAdapters, max_lora_rank: maxRank }),
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
      "--database-url",
      `sqlite:///${join(folder, "tinker.db")}`,
      "--checkpoints-base",
      join(folder, "checkpoints"),
    ],
    { env: environment, stdio: ["ignore", output, output], detached: true, cwd: folder },
  );
  let exited = false;
  server.on("exit", () => {
    exited = true;
  });
  // Ended from outside, this process must not leave a server behind.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, () => {
      try {
        process.kill(-server.pid, "SIGKILL");
      } catch {
        // Gone already.
      }
      rmSync(folder, { recursive: true, force: true });
      process.exit(130);
    });
  }
  const stop = async () => {
    try {
      // The whole group: the API process starts the engine as a grandchild.
      if (!exited) process.kill(-server.pid, "SIGTERM");
      for (let i = 0; i < 100 && !exited; i++) await new Promise((resolve) => setTimeout(resolve, 100));
      process.kill(-server.pid, "SIGKILL");
    } catch {
      // Gone already.
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 600; i++) {
    if (exited) break;
    try {
      if ((await fetch(`${url}/api/v1/healthz`)).ok) return { url, modelDirectory, folder, log, stop };
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const text = readFileSync(log, "utf8");
  await stop();
  throw new Error(`the SkyRL server did not start:\n${text.slice(-4000)}`);
}

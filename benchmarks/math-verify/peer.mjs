import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const python = fileURLToPath(new URL(".venv/math-verify/bin/python", root));

/** Starts the Python peer; null where benchmarks/math-verify/setup.sh has not been run. */
export function startPeer() {
  if (!existsSync(python)) return null;
  const child = spawn(python, [fileURLToPath(new URL("peer.py", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async run(cases) {
      child.stdin.write(`${JSON.stringify({ cases })}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error("the Python peer ended; see its message above");
      return JSON.parse(value);
    },
    stop() {
      child.stdin.end();
    },
  };
}

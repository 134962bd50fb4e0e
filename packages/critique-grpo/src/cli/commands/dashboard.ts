import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import { startDashboard } from "../../dashboard/index.js";
import { type CliIo, EXIT } from "../io.js";
import { newCommand, parseNumber } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo dashboard                 every run below ./runs
  critique-grpo dashboard runs/my-run     one run
  critique-grpo train run.yaml --dashboard

It reads and never writes, works while a run goes on and after it ended or crashed, and listens on this machine only.
The address holds a token: whoever has it can read the runs. From elsewhere, through SSH (give the port to both):
  critique-grpo dashboard --port 8123     there
  ssh -L 8123:127.0.0.1:8123 there        here; then open the printed address

Ctrl-C stops it.`;

export function dashboardCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("dashboard", "look at runs in the browser: curves, groups, critiques, evaluations")
    .argument("[directory]", "a run directory, or one with runs below it", "runs")
    .option("--port <n>", "0 takes a free one", parseNumber(0, true), 0)
    .addHelpText("after", EXAMPLES)
    .action(async (directory: string, options: { readonly port: number }) =>
      finish(await runDashboard(io, directory, options.port)),
    );
}

async function runDashboard(io: CliIo, runs: string, port: number): Promise<number> {
  if (port > 65_535) throw new InputError(`--port is ${port}; it must be at most 65535`);
  const { signal, release } = io.interruption("Stopping the dashboard");
  try {
    const onNotice = (message: string) => void io.stderr.write(`${message}\n`);
    const dashboard = await startDashboard({ runs, port, onNotice });
    io.stdout.write(`Dashboard: ${dashboard.url}\n`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await dashboard.close();
    return EXIT.ok;
  } finally {
    release();
  }
}

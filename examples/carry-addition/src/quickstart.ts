#!/usr/bin/env node
/** The main job from the command line: `npm run quickstart`. */
import { InputError } from "critique-grpo";
import { parseOptions, USAGE } from "./options.js";
import { FULL_PLAN, QUICK_PLAN } from "./plan.js";
import { Progress } from "./progress.js";
import { runQuickstart } from "./run.js";

const INTERRUPTED_EXIT_CODE = 130;

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const progress = new Progress();
  const abort = new AbortController();
  process.once("SIGINT", () => {
    progress.say("stopping (Ctrl-C again to stop at once)");
    abort.abort(new Error("interrupted"));
  });
  try {
    await runQuickstart({ ...options, plan: options.quick ? QUICK_PLAN : FULL_PLAN, progress, signal: abort.signal });
    return 0;
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    progress.say("interrupted; finished runs stay where they are");
    return INTERRUPTED_EXIT_CODE;
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${error instanceof InputError || !(error instanceof Error) ? message : error.stack}\n`);
  process.exitCode = 1;
}

/** For each seed: questions, warm-up, Dr. GRPO and Critique-GRPO from the same warm-up; then table, plot, summary.json. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { createScorer, InputError, loadQuestions } from "critique-grpo";
import { makeSplits, toJsonLines } from "./data.js";
import type { QuestionSets } from "./measure.js";
import type { Plan } from "./plan.js";
import type { Progress } from "./progress.js";
import { writeReport } from "./report.js";
import reward from "./reward.js";
import { METHODS, type MethodRecord, verdict } from "./summary.js";
import { formatTable } from "./table.js";
import { trainMethod } from "./train-method.js";
import { describeGate, trainWarmUp } from "./train-warm-up.js";

/** The function that the YAML files name as a module. */
const REWARDS = [{ name: "sum", score: reward }];

export interface QuickstartOptions {
  readonly seeds: readonly number[];
  /** Must be new; default: the first free one of runs/quickstart, runs/quickstart-2, … */
  readonly out?: string | undefined;
  readonly plan: Plan;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** @throws InputError if `out` exists; Error if no warm-up converged; the signal's reason if it aborts. */
export async function runQuickstart(options: QuickstartOptions): Promise<readonly MethodRecord[]> {
  const { plan, progress, signal } = options;
  const directory = await makeOutputDirectory(options.out);
  progress.say(`carry addition · seeds ${options.seeds.join(", ")} · ${shown(directory)}`);
  if (plan.rehearsal) progress.say("a rehearsal, far too short to learn anything: the numbers mean nothing");

  const records: MethodRecord[] = [];
  const notes: string[] = [];
  for (const seed of options.seeds) {
    records.push(...(await runSeed(seed, join(directory, `seed-${seed}`), plan, notes, progress, signal)));
    // After every seed, so that an interrupted quickstart has something to show.
    if (records.length > 0) await writeReport(directory, records, notes);
  }
  if (records.length === 0) throw new Error(`No seed had a warm-up that converged. ${notes.join(" ")}`);
  const files = await writeReport(directory, records, notes);
  progress.print(`\n${formatTable(records)}\n`);
  progress.print("greedy, pass@1, pass@8: held-out questions · one carry: a kind of question that is never trained");
  progress.print("persistent: training questions without a right answer in 8 samples\n");
  for (const note of notes) progress.print(note);
  progress.print(verdict(records));
  progress.print(`\n${shown(files.page)}\n${shown(files.plot)}\n${shown(files.summary)}`);
  progress.say("done");
  return records;
}

async function runSeed(
  seed: number,
  directory: string,
  plan: Plan,
  notes: string[],
  progress: Progress,
  signal: AbortSignal,
): Promise<MethodRecord[]> {
  const { sizes, overrides } = plan;
  const sets = await writeQuestions(directory, seed, sizes);
  const shared = { seed, directory, sets, progress, signal };
  const warmUp = await trainWarmUp({ ...shared, plan: plan.warmUp, score: createScorer(REWARDS, 0.5) });
  await writeFile(
    join(directory, "warm-up.json"),
    `${JSON.stringify({ seed, steps: warmUp.steps, seconds: warmUp.seconds, gate: warmUp.gate }, null, 2)}\n`,
  );
  progress.say(
    `seed ${seed} · warm-up: ${warmUp.steps} steps, ${warmUp.seconds.toFixed(0)} s; ${describeGate(warmUp.gate)}`,
  );
  if (!warmUp.gate.converged) {
    notes.push(`Seed ${seed}: the warm-up did not converge in ${warmUp.steps} steps (${describeGate(warmUp.gate)}).`);
    if (!plan.rehearsal) {
      notes.push(`Seed ${seed} is left out: reinforcement learning from such a model would say nothing.`);
      return [];
    }
  }
  const records: MethodRecord[] = [];
  for (const method of METHODS) {
    const record = await trainMethod({ ...shared, method, overrides, before: warmUp.measurement });
    records.push(record);
    const { heldOut, persistentFailures, sampledTokens, seconds } = record;
    progress.say(
      `seed ${seed} · ${method}: held-out greedy ${(100 * heldOut.greedy).toFixed(1)} %, persistent failures ${persistentFailures}, ${sampledTokens.toLocaleString("en")} sampled tokens, ${seconds.toFixed(0)} s`,
    );
  }
  return records;
}

/** Writes the seed's JSONL files and reads them back as any other data set. */
async function writeQuestions(directory: string, seed: number, sizes: Plan["sizes"]): Promise<QuestionSets> {
  await mkdir(directory, { recursive: true });
  const splits = makeSplits(seed, sizes);
  const load = async (rows: readonly object[], name: string) => {
    const file = join(directory, `${name}.jsonl`);
    await writeFile(file, toJsonLines(rows));
    const located = await loadQuestions({ files: file, columns: {}, format: "plain" });
    return located.map(({ question }) => question);
  };
  return {
    train: await load(splits.train, "train"),
    heldOut: await load(splits.heldOut, "held-out"),
    outOfDistribution: await load(splits.outOfDistribution, "one-carry"),
  };
}

/** The directory asked for, which must be new; or the first free one of runs/quickstart, runs/quickstart-2, … */
async function makeOutputDirectory(wanted: string | undefined): Promise<string> {
  let directory = resolve(wanted ?? join("runs", "quickstart"));
  if (wanted !== undefined && existsSync(directory)) {
    throw new InputError(`--out ${wanted} exists already; name a new directory`);
  }
  for (let number = 2; existsSync(directory); number++) directory = resolve("runs", `quickstart-${number}`);
  await mkdir(directory, { recursive: true });
  return directory;
}

function shown(path: string): string {
  return relative(process.cwd(), path) || ".";
}

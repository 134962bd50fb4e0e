// Speed of verification beside Python Math-Verify on the same cases, batch by batch in turn.
// Usage: benchmarks/math-verify/setup.sh && node benchmarks/math-verify/run.mjs [CASES.json]
import { readFileSync } from "node:fs";
import { compareAnswers, optionsFromRecord, parse, parseAnswer, verify } from "@critique-grpo/math-verify";
import { startPeer } from "./peer.mjs";

const path = process.argv[2] ?? new URL("../../../shared/data/math-grading/cases.json", import.meta.url);
const cases = JSON.parse(readFileSync(path, "utf8")).filter(
  ({ kind, gold }) => (kind ?? "verify") === "verify" && gold !== null,
);
const BATCH = 16;
const ROUNDS = 3;
/** Calls timed together: one takes less than the clock resolves. */
const REPEATS = 20;

function microseconds(work) {
  const start = performance.now();
  for (let repeat = 0; repeat < REPEATS; repeat++) work();
  return ((performance.now() - start) * 1000) / REPEATS;
}

/** The two answers of a case without the text around them, as comparison starts from. */
function answersOf(record) {
  const options = optionsFromRecord(record.options ?? {});
  const [gold, prediction] = [record.gold, record.prediction].map((text) => parse(text, options).at(-1) ?? text);
  return { gold, prediction, options };
}

const answers = cases.map(answersOf);

function runOurs(record, answer) {
  const { gold, prediction, options } = answer;
  const [parsedGold, parsedPrediction] = [parseAnswer(gold), parseAnswer(prediction)];
  return {
    parsed: microseconds(() => compareAnswers(parsedGold, parsedPrediction, options)),
    comparison: microseconds(() => compareAnswers(parseAnswer(gold), parseAnswer(prediction), options)),
    total: microseconds(() => verify(record.gold, record.prediction, options)),
  };
}

/** The same cases for Math-Verify: whole texts, and bare answers between dollars. */
async function runTheirs(from) {
  const batch = cases.slice(from, from + BATCH);
  const whole = await peer.run(batch.map(({ gold, prediction, options }) => ({ gold, prediction, ...options })));
  const bare = await peer.run(
    batch.map(({ options }, index) => {
      const { gold, prediction } = answers[from + index];
      return { ...options, match_types: ["latex", "expr"], gold: `$${gold}$`, prediction: `$${prediction}$` };
    }),
  );
  return batch.map((_, index) => ({
    parsed: bare.comparison[index],
    comparison: bare.total[index],
    total: whole.total[index],
  }));
}

function median(values) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const KEYS = ["parsed", "comparison", "total"];
const peer = startPeer();
const samples = cases.map(() => ({
  ours: { parsed: [], comparison: [], total: [] },
  theirs: { parsed: [], comparison: [], total: [] },
}));
// The first round warms both sides up and is not counted.
for (let round = 0; round <= ROUNDS; round++) {
  for (let from = 0; from < cases.length; from += BATCH) {
    const ours = cases.slice(from, from + BATCH).map((record, index) => runOurs(record, answers[from + index]));
    const theirs = peer === null ? null : await runTheirs(from);
    if (round === 0) continue;
    for (const [index, own] of ours.entries()) {
      for (const key of KEYS) {
        samples[from + index].ours[key].push(own[key]);
        samples[from + index].theirs[key].push(theirs?.[index]?.[key] ?? Number.NaN);
      }
    }
  }
}
peer?.stop();

const format = (value) => (Number.isNaN(value) ? "–" : value.toFixed(1)).padStart(12);
console.log(`${cases.length} cases, median of ${ROUNDS} rounds per case, then over the cases; microseconds`);
console.log(`${"".padEnd(34)}${"TypeScript".padStart(12)}${"Math-Verify".padStart(12)}${"ratio".padStart(12)}`);
const mean = (side, key) => samples.reduce((sum, sample) => sum + median(sample[side][key]), 0) / samples.length;
for (const [name, key, limit] of [
  ["comparison of two answer texts", "comparison", "   (target: at most 20)"],
  ["with extraction from responses", "total", "   (target: at most 100)"],
  ["comparison of parsed answers", "parsed", ""],
]) {
  const ours = median(samples.map((sample) => median(sample.ours[key])));
  const theirs = median(samples.map((sample) => median(sample.theirs[key])));
  console.log(`${name.padEnd(34)}${format(ours)}${format(theirs)}${format(theirs / ours)}${limit}`);
  const [ourMean, theirMean] = [mean("ours", key), mean("theirs", key)];
  console.log(`${"  mean".padEnd(34)}${format(ourMean)}${format(theirMean)}${format(theirMean / ourMean)}`);
}
if (peer === null) console.log("Math-Verify is not installed: run benchmarks/math-verify/setup.sh");

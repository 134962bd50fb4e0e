// Live comparison with Python Math-Verify on generated answers; prints every disagreement.
// Usage: benchmarks/math-verify/setup.sh && node conformance/math-verify/run.mjs [PAIRS]
import { verify } from "@critique-grpo/math-verify";
import { startPeer } from "../../benchmarks/math-verify/peer.mjs";

const count = Number(process.argv[2] ?? 600);
/** Share of generated pairs on which both must agree. */
const REQUIRED = 0.97;

let state = 20240607;
const random = (bound) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
};
const pick = (items) => items[random(items.length)];
const integer = () => random(199) - 99;
const positive = () => 1 + random(60);

/** Each kind: [gold, an equal spelling, a different value]. */
const KINDS = [
  () => {
    const n = integer();
    return [`${n}`, `x=${n}`, `${n + 1}`];
  },
  () => {
    const [n, d] = [integer(), positive()];
    return [`\\frac{${n}}{${d}}`, `\\dfrac{${2 * n}}{${2 * d}}`, `\\frac{${n + 1}}{${d}}`];
  },
  () => {
    const n = positive();
    return [`\\sqrt{${n}}`, `\\frac{${n}}{\\sqrt{${n}}}`, `\\sqrt{${n + 1}}`];
  },
  () => {
    const [a, b] = [integer(), integer()];
    return [`(${a}, ${b})`, `\\left(${a},${b}\\right)`, `(${a}, ${b + 1})`];
  },
  () => {
    const [a, b] = [integer(), positive()];
    return [`[${a}, ${a + b})`, `\\left[${a}, ${a + b}\\right)`, `[${a}, ${a + b}]`];
  },
  () => {
    const [a, b] = [integer(), 100 + positive()];
    return [`\\{${a}, ${b}\\}`, `\\{${b}, ${a}\\}`, `\\{${b}, ${a + 1}\\}`];
  },
  () => {
    const [a, b] = [positive(), positive()];
    return [`${a}x+${b}`, `${b}+${a}x`, `${a}x-${b}`];
  },
  () => {
    const [a, b] = [positive(), positive()];
    return [`(x+${a})(x+${b})`, `x^2+${a + b}x+${a * b}`, `x^2+${a + b}x+${a * b + 1}`];
  },
  () => {
    const n = integer();
    return [`x \\ge ${n}`, `${n} \\le x`, `x \\le ${n}`];
  },
  () => {
    const n = positive();
    return [`${n}\\%`, `${n}`, `${n + 1}`];
  },
  () => {
    const n = positive();
    return [`${n}\\pi`, `\\pi \\cdot ${n}`, `${n + 1}\\pi`];
  },
  () => {
    const [a, b] = [positive(), positive()];
    return [`${a}+${b}i`, `${b}i+${a}`, `${a}-${b}i`];
  },
  () => {
    const [a, b] = [integer(), integer()];
    return [
      `\\begin{pmatrix}${a}\\\\${b}\\end{pmatrix}`,
      `\\begin{bmatrix}${a}\\\\${b}\\end{bmatrix}`,
      `\\begin{pmatrix}${a}\\\\${b + 1}\\end{pmatrix}`,
    ];
  },
  () => {
    const n = positive();
    return [`${n}^\\circ`, `${n}`, `${n + 1}^\\circ`];
  },
  () => {
    const n = positive();
    return [`\\ln ${n + 1}`, `\\log_e ${n + 1}`, `\\ln ${n + 2}`];
  },
];

const pairs = Array.from({ length: count }, (_, index) => {
  const [gold, equal, different] = KINDS[index % KINDS.length]();
  const prediction = pick([equal, different]);
  const wrap = pick([
    (text) => `\\boxed{${text}}`,
    (text) => `The final answer is $${text}$.`,
    (text) => `So we have $${text}$`,
  ]);
  return { gold: `$${gold}$`, prediction: wrap(prediction), truth: prediction === equal };
});

const peer = startPeer();
if (peer === null) {
  console.log("Math-Verify is not installed: run benchmarks/math-verify/setup.sh");
  process.exit(1);
}
const { verdicts } = await peer.run(pairs);
peer.stop();

let agreed = 0;
let wrong = 0;
for (const [index, pair] of pairs.entries()) {
  const ours = verify(pair.gold, pair.prediction).correct;
  if (ours === verdicts[index]) agreed++;
  else
    console.log(
      `gold ${pair.gold} | prediction ${pair.prediction} | here ${ours}, Math-Verify ${verdicts[index]}, by construction ${pair.truth}`,
    );
  if (ours !== pair.truth) {
    wrong++;
    console.log(`WRONG: gold ${pair.gold} | prediction ${pair.prediction} | here ${ours}`);
  }
}
console.log(
  `${agreed} of ${pairs.length} agree (${((100 * agreed) / pairs.length).toFixed(2)} %); wrong by construction here: ${wrong}`,
);
process.exitCode = agreed / pairs.length >= REQUIRED && wrong === 0 ? 0 : 1;

/**
 * Unbiased estimate of pass@k from n samples of which c are right: 1 − C(n−c, k) / C(n, k), as a product that does not
 * overflow (Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1).
 */
export function passAtK(samples: number, correct: number, k: number): number {
  if (!(Number.isInteger(k) && k >= 1 && k <= samples)) {
    throw new RangeError(`pass@k needs 1 ≤ k ≤ samples; k is ${k}, samples is ${samples}`);
  }
  if (!(Number.isInteger(correct) && correct >= 0 && correct <= samples)) {
    throw new RangeError(`correct must be an integer in [0, ${samples}]; it is ${correct}`);
  }
  if (samples - correct < k) return 1;
  let allWrong = 1;
  for (let i = samples - correct + 1; i <= samples; i++) allWrong *= 1 - k / i;
  return 1 - allWrong;
}

/** 1, 2, 4, … up to and including `samples`. */
export function passAtKLadder(samples: number): number[] {
  const ladder: number[] = [];
  for (let k = 1; k < samples; k *= 2) ladder.push(k);
  ladder.push(samples);
  return ladder;
}

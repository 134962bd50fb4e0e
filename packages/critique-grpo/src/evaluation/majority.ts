import type { AnswerReader, EvaluatedResponse, MajorityVote } from "./types.js";

/**
 * The most frequent answer among the responses, where answers that mean the same are one. Responses without an answer do
 * not vote; of equally frequent answers the one that was given first wins. It is right if the first response that gave
 * it is.
 */
export async function majorityVote(
  responses: readonly EvaluatedResponse[],
  equal: AnswerReader["equal"],
): Promise<MajorityVote> {
  const candidates: { answer: string; correct: boolean; votes: number }[] = [];
  for (const { answer, reward } of responses) {
    if (answer === undefined || answer === null) continue;
    const same =
      candidates.find((candidate) => candidate.answer === answer) ?? (await findEqual(candidates, answer, equal));
    if (same) same.votes++;
    else candidates.push({ answer, correct: reward.correct, votes: 1 });
  }
  const winner = candidates.reduce<(typeof candidates)[number] | undefined>(
    (best, candidate) => (best === undefined || candidate.votes > best.votes ? candidate : best),
    undefined,
  );
  return winner ?? { answer: null, votes: 0, correct: false };
}

async function findEqual<T extends { readonly answer: string }>(
  candidates: readonly T[],
  answer: string,
  equal: AnswerReader["equal"],
): Promise<T | undefined> {
  for (const candidate of candidates) if (await equal(candidate.answer, answer)) return candidate;
  return undefined;
}

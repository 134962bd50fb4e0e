/** A response token by token: log-probability, shaping weight, and how hard training pulled at it. */
import type { TokensAnswer } from "@critique-grpo/dashboard";
import { type Shaping, shapeProbability } from "../../algorithm/shaping.js";
import { HttpError } from "../../http/errors.js";
import { readRunConfig } from "../../run/readers.js";
import type { RolloutIndex } from "../data/rollout-index.js";
import type { RunPlace, Runs } from "../data/runs.js";
import { findGroup } from "./groups.js";

export interface TokenQuery {
  readonly step: number;
  readonly line: number;
  readonly kind: "initial" | "refinement";
  /** The response's `index`. */
  readonly index: number;
}

/** @throws HttpError 404 */
export async function responseTokens(
  runs: Runs,
  place: RunPlace,
  rollouts: RolloutIndex,
  query: TokenQuery,
): Promise<TokensAnswer> {
  const record = await rollouts.record(await findGroup(rollouts, query.step, query.line));
  const isRefinement = query.kind === "refinement";
  const responses = isRefinement ? record.refinements : record.initial;
  const response = responses.find(({ index }) => index === query.index);
  if (response === undefined) throw new HttpError(404, `The group has no ${query.kind} response ${query.index}`);
  const shaping = shapingOf(await readRunConfig(place.directory));
  const { pieces, problem } = await runs
    .tokens(place)
    .pieces(response.tokens)
    .then(
      (found) => ({ pieces: found, problem: null }),
      (error: Error) => ({ pieces: null, problem: error.message }),
    );
  return {
    tokens: response.tokens.map((id, i) => {
      const logprob = response.logprobs[i] ?? Number.NaN;
      const { value, gradient } = shapeProbability(logprob, shaping);
      const weight = isRefinement ? gradient : 1;
      return {
        id,
        text: pieces?.[i] ?? null,
        logprob,
        shaped: value,
        pull: response.advantage === null ? null : response.advantage * weight,
      };
    }),
    problem,
    shaping: describe(shaping),
  };
}

const SHAPING_TYPES: readonly string[] = [
  "none",
  "ratio",
  "log",
  "linear-log",
  "sqrt",
  "power",
] satisfies Shaping["type"][];

/** The run's own; the paper's where its configuration is not one of ours. */
function shapingOf(config: unknown): Shaping {
  const shaping = (config as { algorithm?: { shaping?: { type?: unknown } } } | null)?.algorithm?.shaping;
  const known = typeof shaping?.type === "string" && SHAPING_TYPES.includes(shaping.type);
  return known ? (shaping as Shaping) : { type: "ratio", gamma: 0.1 };
}

function describe(shaping: Shaping): string {
  switch (shaping.type) {
    case "none":
      return "f(p) = p";
    case "ratio":
      return `f(p) = p / (p + ${shaping.gamma})`;
    case "log":
      return "f(p) = log p";
    case "linear-log":
      return `f(p) = p + ${shaping.weight} log p`;
    case "sqrt":
      return "f(p) = √p";
    case "power":
      return `f(p) = p^${shaping.exponent}`;
    default:
      throw new RangeError(`Unknown shaping ${String((shaping satisfies never as { type: string }).type)}`);
  }
}

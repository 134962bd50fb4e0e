/** A response token by token, coloured by what is known of each. */
import type { TokensAnswer, TokenView } from "../../contract/groups.js";
import { formatSigned } from "../state/format.js";

export const COLOURINGS = ["none", "logprob", "shaped", "pull"] as const;
export type Colouring = (typeof COLOURINGS)[number];

export const COLOURING_TEXTS: Readonly<Record<Colouring, { readonly label: string; readonly help: string }>> = {
  none: { label: "plain", help: "Text without colours" },
  logprob: { label: "log p", help: "Darker: less likely when it was sampled" },
  shaped: { label: "f(p)", help: "Darker: a larger shaping weight, with p as sampled" },
  pull: {
    label: "advantage",
    help: "Green: made likelier, red: unlikelier; darker: by more. Refinement tokens count f'(p)·p",
  },
};

/** log p at which the colour is full: e^-5 is less than one in a hundred. */
const FULL_LOGPROB = -5;

export function TokenText({
  answer,
  colouring,
}: {
  readonly answer: TokensAnswer;
  readonly colouring: Exclude<Colouring, "none">;
}) {
  const strongest = answer.tokens.reduce((largest, { pull }) => Math.max(largest, Math.abs(pull ?? 0)), 0);
  return (
    <>
      {answer.problem !== null && <span class="muted">Token ids only: {answer.problem}. </span>}
      <span class={`model-text tokens tokens-${colouring}`}>
        {answer.tokens.map((token, i) => {
          const { strength, negative } = colour(token, colouring, strongest);
          return (
            <span
              key={i}
              class={negative ? "token negative" : "token"}
              style={{ "--strength": `${Math.round(100 * strength)}%` }}
              title={describe(token, answer.shaping)}
            >
              {token.text ?? `‹${token.id}›`}
            </span>
          );
        })}
      </span>
    </>
  );
}

function colour(token: TokenView, colouring: Exclude<Colouring, "none">, strongest: number) {
  switch (colouring) {
    case "logprob":
      return { strength: Math.min(1, token.logprob / FULL_LOGPROB), negative: false };
    case "shaped":
      return { strength: Math.min(1, Math.abs(token.shaped)), negative: false };
    case "pull":
      return { strength: strongest === 0 ? 0 : Math.abs(token.pull ?? 0) / strongest, negative: (token.pull ?? 0) < 0 };
    default:
      throw new RangeError(`Unknown colouring ${String(colouring satisfies never)}`);
  }
}

function describe({ id, logprob, shaped, pull }: TokenView, shaping: string): string {
  const p = Math.exp(logprob);
  return `token ${id}\nlog p ${logprob.toFixed(3)}, p ${p.toFixed(4)}\n${shaping}: ${shaped.toFixed(4)}\npull ${formatSigned(pull)}`;
}

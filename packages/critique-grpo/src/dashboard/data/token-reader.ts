/** Tokens of a run as text, through the tokenizer that the run's configuration names or that lies beside its model. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TextCodec } from "../../policy/policy.js";
import { readRunConfig } from "../../run/readers.js";
import { MODEL_DIRECTORY } from "../../run/run-directory.js";
import { loadTextCodec } from "../../text/codec.js";

/** A token's text may need those before it: a letter of several bytes, a space that only the first word lacks. */
const CONTEXT_TOKENS = 4;
const REPLACEMENT = "\uFFFD";

type Decoder = Pick<TextCodec, "decode">;

export class TokenReader {
  readonly #runDirectory: string;
  #decoder: Promise<Decoder> | null = null;

  constructor(runDirectory: string) {
    this.#runDirectory = runDirectory;
  }

  /** One text a token, together the text of all. @throws Error that says why there is no tokenizer. */
  async pieces(tokens: readonly number[]): Promise<string[]> {
    this.#decoder ??= this.#open();
    try {
      return tokenPieces(tokens, await this.#decoder);
    } catch (error) {
      // The model may be exported later.
      this.#decoder = null;
      throw error;
    }
  }

  async #open(): Promise<Decoder> {
    const candidates = [
      join(this.#runDirectory, MODEL_DIRECTORY),
      ...namedDirectories(await readRunConfig(this.#runDirectory)),
    ];
    const directory = candidates.find((path) => existsSync(join(path, "tokenizer.json")));
    if (directory === undefined) throw new Error(`no tokenizer.json in ${candidates.join(" or ")}`);
    const codec = loadTextCodec(directory);
    return { decode: (tokens) => codec.decode(tokens, { keepSpecialTokens: true }) };
  }
}

/** The text that each token adds. Bytes of an unfinished letter are added by the token that finishes it. */
export function tokenPieces(tokens: readonly number[], { decode }: Decoder): string[] {
  const pieces: string[] = [];
  // Tokens [start, shown) have been shown; the text of [start, i] tells what is new.
  let start = 0;
  let shown = 0;
  for (let i = 0; i < tokens.length; i++) {
    const before = decode(tokens.slice(start, shown));
    const after = decode(tokens.slice(start, i + 1));
    const unfinished = after.endsWith(REPLACEMENT) && i - shown < CONTEXT_TOKENS && i + 1 < tokens.length;
    if (unfinished) {
      pieces.push("");
      continue;
    }
    pieces.push(after.slice(before.length));
    shown = i + 1;
    start = Math.max(start, shown - CONTEXT_TOKENS);
  }
  return pieces;
}

/** Where prepareRun looked for it. */
function namedDirectories(config: unknown): string[] {
  const { tokenizer, engine } = (config ?? {}) as {
    tokenizer?: { path?: unknown };
    engine?: { model?: unknown };
  };
  const model = engine?.model;
  const fresh = typeof model === "object" && model !== null && "config" in model ? model.config : undefined;
  return [tokenizer?.path, model, typeof fresh === "string" ? dirname(fresh) : undefined].filter(
    (path): path is string => typeof path === "string",
  );
}

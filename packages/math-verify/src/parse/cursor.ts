import { ParseFailure } from "./nodes.js";
import type { Token } from "./token.js";

/** Deepest nesting the parser follows; beyond it the text is not an answer. */
const MAX_DEPTH = 120;

/** Position in a list of tokens, with the little context the grammar needs. */
export class Cursor {
  position = 0;
  /** Open `|…|`: inside, a bar closes instead of opening. */
  openBars = 0;
  /** Inside `\{…\}` a bar or colon separates element and condition. */
  insideSet = false;
  private depth = 0;

  constructor(private readonly tokens: Token[]) {}

  peek(offset = 0): Token | undefined {
    return this.tokens[this.position + offset];
  }

  next(): Token {
    const token = this.tokens[this.position];
    if (token === undefined) throw this.failure("the expression ends too early");
    this.position++;
    return token;
  }

  get atEnd(): boolean {
    return this.position >= this.tokens.length;
  }

  isMark(text: string, offset = 0): boolean {
    const token = this.tokens[this.position + offset];
    return token !== undefined && token.type === "mark" && token.text === text;
  }

  accept(text: string): boolean {
    if (!this.isMark(text)) return false;
    this.position++;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.failure(`expected ${text}`);
  }

  /** Replaces the current token, to split `\frac12` into single digits. */
  replaceCurrent(token: Token): void {
    this.tokens[this.position] = token;
  }

  /** Index of the brace closing the group that opens at `position`, or -1. */
  closingBrace(position = this.position): number {
    let depth = 0;
    for (let index = position; index < this.tokens.length; index++) {
      const token = this.tokens[index]!;
      if (token.type !== "mark") continue;
      if (token.text === "{") depth++;
      else if (token.text === "}" && --depth === 0) return index;
    }
    return -1;
  }

  slice(from: number, to: number): Token[] {
    return this.tokens.slice(from, to);
  }

  /** Runs a nested rule under the depth limit. */
  nested<T>(rule: (cursor: Cursor) => T): T {
    if (++this.depth > MAX_DEPTH) throw this.failure("nested too deeply");
    const result = rule(this);
    this.depth--;
    return result;
  }

  failure(message: string): ParseFailure {
    return new ParseFailure(message, this.peek()?.at ?? -1);
  }
}

import type { KeyValueCache } from "./key-value-cache.js";
import type { PreparedRequest } from "./sequence.js";
import { findSharedPrefixes, type SharedPrefix } from "./shared-prefix.js";

/** The result of a prompt's prefill, from which all continuations of its request start. */
export interface PrefilledPrompt {
  readonly cache: KeyValueCache;
  readonly slot: number;
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  /** Of the prompt's row in logits and probabilities. */
  readonly offset: number;
}

/** A request with continuations that have not started. */
export interface WaitingPrompt {
  readonly prepared: PreparedRequest;
  /** What its prompt has in common with its neighbours'. */
  readonly prefix: SharedPrefix | undefined;
  /** Set by the first lane that takes continuations; others wait for it. */
  prefill: Promise<PrefilledPrompt> | undefined;
}

/** Some continuations of one request: indices from `firstSample` on. */
export interface Portion {
  readonly waiting: WaitingPrompt;
  readonly firstSample: number;
  readonly count: number;
}

/** Continuations that wait for a slot, in order of the requests. Shared by the lanes. */
export class PromptQueue {
  /** Those whose continuations have all been taken are forgotten, and with them the memory of their prefill. */
  readonly #prompts: (WaitingPrompt | undefined)[];
  #position = 0;
  #started = 0;

  constructor(requests: readonly PreparedRequest[]) {
    const prefixes = findSharedPrefixes(requests.map(({ request }) => request.prompt));
    this.#prompts = requests.map((prepared, index) => ({ prepared, prefix: prefixes[index], prefill: undefined }));
  }

  get isEmpty(): boolean {
    return this.#position === this.#prompts.length;
  }

  /** Takes up to `count` continuations. */
  take(count: number): Portion[] {
    const portions: Portion[] = [];
    let left = count;
    while (left > 0 && !this.isEmpty) {
      const waiting = this.#prompts[this.#position]!;
      const rest = waiting.prepared.request.count - this.#started;
      const taken = Math.min(rest, left);
      portions.push({ waiting, firstSample: this.#started, count: taken });
      left -= taken;
      this.#started += taken;
      if (taken === rest) {
        this.#prompts[this.#position] = undefined;
        this.#position++;
        this.#started = 0;
      }
    }
    return portions;
  }
}

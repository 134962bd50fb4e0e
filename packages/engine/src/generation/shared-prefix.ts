import type { KeyValueCache } from "./key-value-cache.js";

/** The first tokens of several prompts, which run through the model once. */
export interface SharedPrefix {
  readonly tokens: readonly number[];
  /** Prompts that have not started from it; its memory goes with the last. */
  waiting: number;
  /** Set by the first lane that needs it; others wait for it. */
  cache: Promise<KeyValueCache> | undefined;
}

/**
 * What a run costs beside its tokens, in tokens: prompts that start from a prefix run one by one (ONNX Runtime extends a
 * cache by several tokens only in a batch of one), and small products are slower.
 */
const RUN_OVERHEAD_TOKENS = 24;

/**
 * Finds neighbours in a list of prompts that begin alike, such as the refinement prompts of a group, which repeat the
 * question: for each prompt, the prefix that it shares, if that is less work than running it whole.
 */
export function findSharedPrefixes(prompts: readonly (readonly number[])[]): (SharedPrefix | undefined)[] {
  const found: (SharedPrefix | undefined)[] = new Array(prompts.length).fill(undefined);
  for (let start = 0; start < prompts.length; ) {
    // A prompt joins while that saves more than it costs the others, whose common part may become shorter.
    let length = prompts[start]!.length - 1;
    let end = start + 1;
    let saved = 0;
    for (; end < prompts.length; end++) {
      const common = Math.min(commonLength(prompts[start]!, prompts[end]!, length), prompts[end]!.length - 1);
      if ((end - start) * common <= saved) break;
      saved = (end - start) * common;
      length = common;
    }
    const count = end - start;
    if (saved > (count + 1) * RUN_OVERHEAD_TOKENS) {
      const prefix = { tokens: prompts[start]!.slice(0, length), waiting: count, cache: undefined };
      found.fill(prefix, start, end);
    }
    start = end;
  }
  return found;
}

function commonLength(a: readonly number[], b: readonly number[], limit: number): number {
  const end = Math.min(a.length, b.length, limit);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

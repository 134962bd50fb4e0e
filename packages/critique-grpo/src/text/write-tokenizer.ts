/** Writes small tokenizers in the HF format: characters and phrases, or bytes. For experiments from scratch. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type SimpleTokenizerFiles = Readonly<
  Record<"tokenizer.json" | "tokenizer_config.json", Readonly<Record<string, unknown>>>
>;

export interface CharacterTokenizerOptions {
  /** Every token in the order of its id: characters, and phrases that are one token each (the longest that fits wins). */
  readonly vocabulary: readonly string[];
  /** Tokens that decoding leaves out. */
  readonly special: readonly string[];
  readonly eos: string;
  readonly pad?: string;
  /** Stands for any other character; without it such a character is an error. */
  readonly unknown?: string;
  readonly chatTemplate?: string;
  /** More entries of tokenizer_config.json, e.g. `sep_token` for the template. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** One character or phrase a token (WordLevel). Throws RangeError on a repeated or impossible token. */
export function characterTokenizer(options: CharacterTokenizerOptions): SimpleTokenizerFiles {
  const { vocabulary, special, eos, pad, unknown } = options;
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  if (ids.size !== vocabulary.length) throw new RangeError("a token stands twice in the vocabulary");
  if (ids.has("")) throw new RangeError("a token must not be empty");
  const phrases = vocabulary.filter((token) => [...token].length > 1 && !special.includes(token));
  const pattern = [...phrases.sort((a, b) => b.length - a.length).map(escapePattern), "[\\s\\S]"].join("|");
  for (const token of [
    eos,
    ...special,
    ...(pad === undefined ? [] : [pad]),
    ...(unknown === undefined ? [] : [unknown]),
  ]) {
    if (!ids.has(token)) throw new RangeError(`${JSON.stringify(token)} is not in the vocabulary`);
  }
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special.map((token) => addedToken(token, ids.get(token)!)),
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      model: { type: "WordLevel", vocab: Object.fromEntries(ids), unk_token: unknown ?? "<unk>" },
    },
    "tokenizer_config.json": tokenizerConfig({ eos, pad, unknown, chatTemplate: options.chatTemplate }, options.config),
  };
}

export interface ByteTokenizerOptions {
  /** Special tokens; their ids follow the 256 bytes. */
  readonly special: readonly string[];
  readonly eos: string;
  readonly pad?: string;
  readonly chatTemplate?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** ChatML with <|im_start|> and <|im_end|>: what Qwen models use, without tools and thinking. */
export const MINIMAL_CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** One UTF-8 byte a token, ids 0–255: any text round-trips (byte-level BPE without merges). */
export function byteTokenizer(options: ByteTokenizerOptions): SimpleTokenizerFiles {
  const { special, eos, pad } = options;
  for (const token of [eos, ...(pad === undefined ? [] : [pad])]) {
    if (!special.includes(token)) throw new RangeError(`${JSON.stringify(token)} is not among the special tokens`);
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special.map((token, index) => addedToken(token, 256 + index)),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])),
        merges: [],
      },
    },
    "tokenizer_config.json": tokenizerConfig({ eos, pad, chatTemplate: options.chatTemplate }, options.config),
  };
}

/** Writes both files into the directory (made if missing). */
export function writeTokenizer(directory: string, files: SimpleTokenizerFiles): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), `${JSON.stringify(content, null, 2)}\n`);
  }
}

function addedToken(content: string, id: number) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function tokenizerConfig(
  tokens: { eos: string; pad?: string | undefined; unknown?: string | undefined; chatTemplate?: string | undefined },
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    eos_token: tokens.eos,
    ...(tokens.pad === undefined ? {} : { pad_token: tokens.pad }),
    ...(tokens.unknown === undefined ? {} : { unk_token: tokens.unknown }),
    ...(tokens.chatTemplate === undefined ? {} : { chat_template: tokens.chatTemplate }),
    ...more,
  };
}

function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** GPT-2's printable stand-ins for the 256 bytes: printable bytes stand for themselves, others are moved up. */
function byteCharacters(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : 256 + moved++));
}

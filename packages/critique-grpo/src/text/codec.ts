/** The TextCodec port over HF tokenizer files: `@huggingface/tokenizers` and `@huggingface/jinja`. */
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { InputError } from "../config/errors.js";
import type { ChatMessage } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";
import { readTokenizerFiles, type TokenizerFiles } from "./files.js";

/** The codec of a directory with tokenizer.json. Throws InputError that names the file and what is wrong. */
export function loadTextCodec(directory: string): HuggingFaceTextCodec {
  return new HuggingFaceTextCodec(readTokenizerFiles(directory));
}

export class HuggingFaceTextCodec implements TextCodec {
  readonly stopTokens: readonly number[];
  readonly vocabularySize: number;
  readonly hasChatTemplate: boolean;
  readonly #tokenizer: Tokenizer;
  readonly #template: Template | null;
  readonly #templateVariables: Readonly<Record<string, string>>;
  readonly #specialIds: ReadonlySet<number>;
  readonly #vocabularyFile: string;

  constructor(files: TokenizerFiles) {
    this.#vocabularyFile = join(files.directory, "tokenizer.json");
    this.#templateVariables = specialTokens(files.config);
    this.#tokenizer = createTokenizer(files, this.#templateVariables);
    this.#template = files.chatTemplate === null ? null : parseTemplate(files.directory, files.chatTemplate);
    this.hasChatTemplate = this.#template !== null;
    this.#specialIds = specialIds(this.#tokenizer, this.#templateVariables);
    this.vocabularySize = Math.max(...this.#tokenizer.get_vocab().values()) + 1;
    this.stopTokens = stopTokens(files, this.#tokenizer, this.#templateVariables);
  }

  /** Throws Error if the text holds a character that the vocabulary lacks and the tokenizer has no unknown token. */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    if (text === "" && !options.addSpecialTokens) return [];
    const { ids, tokens } = this.#tokenizer.encode(text, { add_special_tokens: options.addSpecialTokens ?? false });
    const missing = (ids as (number | undefined)[]).indexOf(undefined);
    if (missing >= 0) {
      throw new Error(
        `${this.#vocabularyFile}: ${JSON.stringify(tokens[missing])} is not in the vocabulary and there is no unknown token (in ${JSON.stringify(shorten(text))})`,
      );
    }
    return ids;
  }

  /** What was sampled, letter for letter: spaces are never "cleaned up". Ids outside the vocabulary have no text. */
  decode(tokens: readonly number[], options: { keepSpecialTokens?: boolean } = {}): string {
    const shown = tokens.filter(
      (id) => (options.keepSpecialTokens || !this.#specialIds.has(id)) && this.#tokenizer.id_to_token(id) !== undefined,
    );
    return shown.length === 0 ? "" : this.#tokenizer.decode(shown, { clean_up_tokenization_spaces: false });
  }

  /** Through the chat template, ending in the generation prompt; without a template the contents, a blank line apart. */
  encodeChat(messages: readonly ChatMessage[]): number[] {
    if (this.#template === null) {
      return this.encode(messages.map((message) => message.content).join("\n\n"), { addSpecialTokens: true });
    }
    return this.encode(this.renderChat(messages));
  }

  /** The prompt as text, markup included. Throws Error if the template refuses the messages. */
  renderChat(messages: readonly ChatMessage[]): string {
    if (this.#template === null) throw new Error(`${this.#vocabularyFile}: this tokenizer has no chat template`);
    try {
      return this.#template.render({
        ...this.#templateVariables,
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: true,
      });
    } catch (error) {
      const roles = messages.map((message) => message.role).join(", ");
      throw new Error(`the chat template refuses the messages (${roles}): ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}

/** The `*_token` entries of tokenizer_config.json as texts: chat templates may name any of them. */
function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith("_token")) continue;
    const content = typeof value === "object" && value !== null && "content" in value ? value.content : value;
    if (typeof content === "string") tokens[key] = content;
  }
  return tokens;
}

function createTokenizer(files: TokenizerFiles, named: Readonly<Record<string, string>>): Tokenizer {
  // The library insists on keys that tokenizer.json may leave out, and takes WordLevel's unknown token from the config.
  const model = files.tokenizer.model as { unk_token?: string } | undefined;
  const unknown = model?.unk_token ?? named.unk_token;
  try {
    return new Tokenizer(
      {
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        ...files.tokenizer,
      },
      { ...files.config, ...named, ...(unknown === undefined ? {} : { unk_token: unknown }) },
    );
  } catch (error) {
    throw new InputError(
      `${join(files.directory, "tokenizer.json")}: not a tokenizer this program can use: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function parseTemplate(directory: string, source: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new InputError(`${directory}: the chat template is not valid Jinja: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function specialIds(tokenizer: Tokenizer, named: Readonly<Record<string, string>>): Set<number> {
  const ids = new Set<number>();
  for (const [id, token] of tokenizer.get_added_tokens_decoder()) if (token.special) ids.add(id);
  for (const [key, content] of Object.entries(named)) {
    // A named token is special even where added_tokens leaves it out; the unknown token stands for text.
    const id = tokenizer.token_to_id(content);
    if (id !== undefined && key !== "unk_token") ids.add(id);
  }
  return ids;
}

/** Generation ends at the model's eos ids and at the tokenizer's eos token. */
function stopTokens(files: TokenizerFiles, tokenizer: Tokenizer, named: Readonly<Record<string, string>>): number[] {
  const ids = new Set(files.eosTokenIds);
  if (named.eos_token !== undefined) {
    const id = tokenizer.token_to_id(named.eos_token);
    if (id === undefined) {
      throw new InputError(
        `${join(files.directory, "tokenizer_config.json")}: eos_token ${JSON.stringify(named.eos_token)} is not in the vocabulary of tokenizer.json`,
      );
    }
    ids.add(id);
  }
  if (ids.size === 0) {
    throw new InputError(
      `${files.directory}: no end-of-sequence token; set eos_token in tokenizer_config.json or eos_token_id in generation_config.json, else no response can end`,
    );
  }
  return [...ids].sort((a, b) => a - b);
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

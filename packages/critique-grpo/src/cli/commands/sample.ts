import type { Command } from "commander";
import { InputError } from "../../config/errors.js";
import type { ChatMessage } from "../../data/question.js";
import { modelFilesDirectory } from "../../policy/adapter-directory.js";
import type { SampledSequence } from "../../policy/policy.js";
import { openConfiguredPolicy } from "../../setup/prepare.js";
import { loadTextCodec } from "../../text/codec.js";
import { encodePrompt } from "../../text/prompt.js";
import { type CliIo, EXIT } from "../io.js";
import { type Device, deviceOption, newCommand, parseNumber, readTextFile } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo sample --model runs/x/model "What is 17 * 23?"
  critique-grpo sample --model runs/x/model --count 4 --temperature 1 --seed 7 "What is 17 * 23?"
  critique-grpo sample --model runs/x/model --file prompts.txt --json > answers.jsonl
  echo "7,1:10,3" | critique-grpo sample --model runs/x/model --plain

With --json each response is one line: {"prompt", "sample", "text", "tokens", "meanLogprob", "stopReason"}.`;

interface SampleOptions {
  readonly model: string;
  readonly tokenizer?: string;
  readonly file?: string;
  readonly system?: string;
  readonly plain?: boolean;
  readonly count: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly maxTokens: number;
  readonly seed: number;
  readonly threads?: number;
  readonly device?: Device;
  readonly json?: boolean;
}

export function sampleCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("sample", "ask a model: prompts from the arguments, a file, or standard input")
    .argument("[prompts...]", "prompts; default: standard input as one prompt")
    .requiredOption("--model <directory>", "Hugging Face model directory, or a PEFT adapter directory")
    .option("--tokenizer <directory>", "directory with tokenizer.json (default: the model directory)")
    .option("--file <file>", "read prompts from a file, one a line")
    .option("--system <text>", "system message")
    .option("--plain", "encode prompts as they are, without the chat template")
    .option("--count <n>", "responses a prompt", parseNumber(1, true), 1)
    .option("--temperature <t>", "0 = greedy", parseNumber(0, false), 0.6)
    .option("--top-k <k>", "keep the k likeliest tokens; 0 = all", parseNumber(0, true), 0)
    .option("--top-p <p>", "keep the smallest set of tokens with this probability; 1 = all", parseNumber(0, false), 1)
    .option("--max-tokens <n>", "longest response", parseNumber(1, true), 256)
    .option("--seed <n>", "the same seed gives the same responses", parseNumber(0, true), 0)
    .addOption(deviceOption())
    .option("--threads <n>", "threads of the engine (default: all cores)", parseNumber(1, true))
    .option("--json", "print one JSON object a response")
    .addHelpText("after", EXAMPLES)
    .action(async (prompts: string[], options: SampleOptions) => finish(await runSample(io, prompts, options)));
}

async function runSample(io: CliIo, prompts: readonly string[], options: SampleOptions): Promise<number> {
  if (options.topP <= 0 || options.topP > 1) throw new InputError(`--top-p is ${options.topP}; it must be in (0, 1]`);
  if (options.system !== undefined && options.plain)
    throw new InputError("--system has no effect with --plain; give one");
  const texts = await readPrompts(io, prompts, options);
  const codec = loadTextCodec(options.tokenizer ?? modelFilesDirectory(options.model));
  const { signal, release } = io.interruption("Stopping");
  const policy = await openConfiguredPolicy({
    engine: {
      type: "embedded",
      model: options.model,
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
    },
  });
  try {
    const encoded = texts.map((text) => encodePrompt(codec, options.plain ? text : messages(text, options.system)));
    for (const [index, prompt] of encoded.entries()) {
      const room = policy.info.contextLength - prompt.length;
      if (room < options.maxTokens) {
        throw new InputError(
          `prompt ${index + 1} has ${prompt.length} tokens; with --max-tokens ${options.maxTokens} it does not fit the context of ${policy.info.contextLength}. ${room > 0 ? `Use --max-tokens ${room} or less` : "Shorten it"}`,
        );
      }
    }
    const { count, temperature, topK, topP, maxTokens, seed } = options;
    const requests = encoded.map((prompt, index) => ({
      ...{ prompt, count, temperature, topK, topP, maxTokens, stopTokens: codec.stopTokens },
      seed: seed + index,
    }));
    const results: SampledSequence[] = [];
    for await (const sequence of policy.sample(requests, { signal })) results.push(sequence);
    results.sort((a, b) => a.requestIndex - b.requestIndex || a.sampleIndex - b.sampleIndex);
    for (const sequence of results) {
      io.stdout.write(`${print(sequence, texts, codec.decode(sequence.tokens), options)}\n`);
    }
    return EXIT.ok;
  } finally {
    release();
    await policy.close();
  }
}

function print(sequence: SampledSequence, prompts: readonly string[], text: string, options: SampleOptions): string {
  const { requestIndex, sampleIndex, tokens, logprobs, stopReason } = sequence;
  if (options.json) {
    const meanLogprob = logprobs.reduce((sum, value) => sum + value, 0) / logprobs.length;
    return JSON.stringify({
      ...{ prompt: prompts[requestIndex], sample: sampleIndex, text, tokens: tokens.length, meanLogprob, stopReason },
    });
  }
  const many = prompts.length > 1 || options.count > 1;
  const head = many ? `── prompt ${requestIndex + 1}, response ${sampleIndex + 1}\n` : "";
  return `${head}${text}${stopReason === "length" ? " …(cut off at --max-tokens)" : ""}`;
}

function messages(text: string, system: string | undefined): ChatMessage[] {
  return [
    ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
    { role: "user", content: text },
  ];
}

async function readPrompts(io: CliIo, prompts: readonly string[], options: SampleOptions): Promise<string[]> {
  if (prompts.length > 0 && options.file !== undefined)
    throw new InputError("give prompts as arguments or with --file, not both");
  if (prompts.length > 0) return [...prompts];
  if (options.file !== undefined) {
    const lines = readTextFile(options.file)
      .split(/\r?\n/)
      .filter((line) => line.trim() !== "");
    if (lines.length === 0) throw new InputError(`${options.file}: no prompts; it must have one a line`);
    return lines;
  }
  const text = (await io.readStdin())?.replace(/\r?\n$/, "");
  if (text === undefined || text === "") {
    throw new InputError("no prompt; give one as an argument, with --file, or on standard input");
  }
  return [text];
}

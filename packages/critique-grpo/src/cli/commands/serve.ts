import { type Command, Option } from "commander";
import { InputError } from "../../config/errors.js";
import { startServer } from "../../serve/index.js";
import { type CliIo, EXIT } from "../io.js";
import { collect, newCommand, parseNumber } from "./common.js";

const KEY_VARIABLE = "CRITIQUE_GRPO_API_KEY";

const EXAMPLES = `
Examples:
  critique-grpo serve --model models/Qwen3-0.6B
  ${KEY_VARIABLE}=tml-secret critique-grpo serve --model models/Qwen3-0.6B --port 8000 --checkpoints saved

Then, in another terminal:
  TINKER_BASE_URL=http://127.0.0.1:8000 TINKER_API_KEY=tml-secret python train.py      # the tinker SDK
  OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=tml-secret node chat.js      # an openai client

Clients ask for what is trained: LoRA adapters of their rank, which share one copy of the weights (the SDK's default), or with
rank 0 all weights. --lora-only and --full allow one of the two; with --full, learning rates are those of full fine-tuning.

The API key comes from ${KEY_VARIABLE}; without it one is made and printed once. Ctrl-C stops the server.`;

interface CommandOptions {
  readonly model: string;
  readonly modelName?: string;
  readonly tokenizer?: string;
  readonly host: string;
  readonly port: number;
  readonly allowHost?: readonly string[];
  readonly checkpoints: string;
  readonly loraOnly?: true;
  readonly full?: true;
  readonly maxModels: number;
  readonly maxAdapters: number;
  readonly maxSamplers: number;
  readonly maxBody: number;
  readonly threads?: number;
  readonly contextLength?: number;
  readonly memory?: number;
  readonly microBatchTokens?: number;
}

export function serveCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("serve", "serve a model to Tinker clients (training) and OpenAI clients (text) on this machine")
    .requiredOption("--model <directory>", "Hugging Face model directory")
    .option("--model-name <name>", "what clients call it (default: the directory's name)")
    .option("--tokenizer <directory>", "directory with tokenizer.json (default: the model directory)")
    .option("--host <address>", "address to listen on; other machines reach all but a loopback address", "127.0.0.1")
    .option("--port <n>", "0 takes a free one", parseNumber(0, true), 8000)
    .option("--allow-host <name>", "also answer to this Host name; may be repeated", collect)
    .option("--checkpoints <directory>", "where weights are saved", "serve-checkpoints")
    .addOption(
      new Option("--lora-only", "train adapters alone; weights of 16 bits stay so: half the memory").conflicts("full"),
    )
    .option("--full", "train all weights, whatever LoRA rank a client asks for (rank 0 asks for it by itself)")
    .option("--max-adapters <n>", "models with LoRA adapters in training, beside one base", parseNumber(1, true), 8)
    .option("--max-models <n>", "models trained in full at a time, each a copy in memory", parseNumber(1, true), 2)
    .option("--max-samplers <n>", "copies in memory of weights that are only sampled", parseNumber(1, true), 1)
    .option("--max-body <MiB>", "largest request", parseNumber(1, true), 128)
    .option("--threads <n>", "threads of the engine (default: all cores)", parseNumber(1, true))
    .option("--context-length <n>", "longest sequence (default: what the model allows)", parseNumber(2, true))
    .option("--memory <GiB>", "what training may plan with (default: 70 % of the machine's)", parseNumber(0.1, false))
    .option(
      "--micro-batch-tokens <n>",
      "tokens computed at a time in training (default: what is fastest)",
      parseNumber(1, true),
    )
    .addHelpText("after", EXAMPLES)
    .action(async (options: CommandOptions) => finish(await runServe(io, options)));
}

async function runServe(io: CliIo, options: CommandOptions): Promise<number> {
  const { allowHost, maxBody, full, loraOnly, memory, port, threads, contextLength, modelName, tokenizer, ...shared } =
    options;
  if (port > 65_535) throw new InputError(`--port is ${port}; it must be at most 65535`);
  const given = process.env[KEY_VARIABLE];
  if (given !== undefined && given.length < 8)
    throw new InputError(`${KEY_VARIABLE} has ${given.length} characters; use at least 8`);
  const { signal, release } = io.interruption("Finishing what is under way");
  try {
    const server = await startServer({
      ...shared,
      port,
      fineTuning: full ? "full" : loraOnly ? "lora" : "as-asked",
      maxBodyBytes: maxBody * 2 ** 20,
      ...(given === undefined ? {} : { apiKey: given }),
      ...(allowHost === undefined ? {} : { allowedHosts: allowHost }),
      ...(memory === undefined ? {} : { memoryBytes: memory * 2 ** 30 }),
      ...(threads === undefined ? {} : { threads }),
      ...(contextLength === undefined ? {} : { contextLength }),
      ...(modelName === undefined ? {} : { modelName }),
      ...(tokenizer === undefined ? {} : { tokenizer }),
      onNotice: (message) => void io.stderr.write(`${message}\n`),
    }).catch((error: Error) => {
      // The model, the tokenizer or the address: all come from the arguments.
      throw new InputError(error.message, { cause: error });
    });
    io.stdout.write(`Serving ${server.modelName} at ${server.url} (Tinker) and ${server.url}/v1 (OpenAI)\n`);
    if (given === undefined) io.stdout.write(`API key, shown once: ${server.apiKey}\n`);
    else if (!given.startsWith("tml-"))
      io.stderr.write(`note: the tinker SDK refuses keys that do not start with "tml-"\n`);
    if (!["127.0.0.1", "localhost", "::1"].includes(options.host))
      io.stderr.write(
        `note: ${options.host} may be reached by other machines; the key then travels unencrypted: put a TLS proxy in front\n`,
      );
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await server.close();
    return EXIT.ok;
  } finally {
    release();
  }
}

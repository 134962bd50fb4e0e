import { accessSync, constants } from "node:fs";
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import type { RuntimeInfo } from "@critique-grpo/engine";
import type { Command } from "commander";
import { loadModel } from "../../policy/load-model.js";
import { type CliIo, EXIT } from "../io.js";
import { formatCount } from "../output/format.js";
import { newCommand } from "./common.js";

/** "absent": nothing needs it. */
type Outcome = "ok" | "warning" | "failed" | "absent";

interface Finding {
  readonly name: string;
  readonly outcome: Outcome;
  readonly detail: string;
}

const MINIMUM_NODE = [20, 19] as const;
const LOW_MEMORY_BYTES = 2 * 1024 ** 3;
/** How long the speed check may take. */
const SPEED_CHECK_MS = 1000;

export function doctorCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand(
    "doctor",
    "check that training works on this machine: Node, engine, memory, a small forward and backward pass",
  )
    .option("--json", "print the findings as JSON")
    .addHelpText("after", "\nExits with 0 if everything needed works, with 1 otherwise.")
    .action(async (options: { json?: boolean }) => {
      const findings = await examine();
      io.stdout.write(options.json ? `${JSON.stringify(findings, null, 2)}\n` : describe(findings));
      finish(findings.some((finding) => finding.outcome === "failed") ? EXIT.failure : EXIT.ok);
    });
}

async function examine(): Promise<Finding[]> {
  const engine = await findEngine();
  return [
    findNode(),
    {
      name: "platform",
      outcome: "ok",
      detail: `${platform()} ${release()} ${arch()}, ${cpus()[0]?.model.trim() ?? "unknown processor"}, ${availableParallelism()} cores`,
    },
    findMemory(),
    findDirectory(),
    engine,
    ...(engine.outcome === "failed" ? [] : [await findModel(), ...(await findDevices())]),
  ];
}

function findNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const good = major > MINIMUM_NODE[0] || (major === MINIMUM_NODE[0] && minor >= MINIMUM_NODE[1]);
  return {
    name: "node",
    outcome: good ? "ok" : "failed",
    detail: `${process.version}${good ? "" : `; ${MINIMUM_NODE.join(".")} or newer is needed`}`,
  };
}

function findMemory(): Finding {
  const gib = (bytes: number) => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
  const low = freemem() < LOW_MEMORY_BYTES;
  return {
    name: "memory",
    outcome: low ? "warning" : "ok",
    detail: `${gib(freemem())} free of ${gib(totalmem())}${low ? "; training needs about 16 bytes a parameter and more for activations" : ""}`,
  };
}

function findDirectory(): Finding {
  const directory = process.cwd();
  try {
    accessSync(directory, constants.W_OK);
    return { name: "directory", outcome: "ok", detail: `${directory} is writable` };
  } catch {
    return {
      name: "directory",
      outcome: "warning",
      detail: `${directory} is not writable: give runs a --run-directory elsewhere`,
    };
  }
}

async function findEngine(): Promise<Finding> {
  let info: RuntimeInfo;
  try {
    const { runtimeInfo } = await import("@critique-grpo/engine");
    info = runtimeInfo();
  } catch (error) {
    return { name: "engine", outcome: "failed", detail: (error as Error).message };
  }
  return {
    name: "engine",
    outcome: "ok",
    detail: `ONNX Runtime ${info.version}, ${info.threads} threads, ${info.providers.join(", ")} (${info.libraryPath})`,
  };
}

/** The values of engine.device beside the CPU. */
async function findDevices(): Promise<Finding[]> {
  const { providerStatuses } = await import("@critique-grpo/engine");
  const statuses = (await providerStatuses()).filter(({ provider }) => provider !== "cpu");
  return statuses.map(({ provider, available, detail }) => ({
    name: `device ${provider}`,
    outcome: available ? "ok" : "absent",
    detail: available ? detail : `not available: ${detail}`,
  }));
}

/** A fresh small model: forward and backward passes for about a second. */
async function findModel(): Promise<Finding> {
  const name = "training";
  try {
    const model = await loadModel({ config: SPEED_MODEL, seed: 1 }, { contextLength: 128 });
    try {
      const prompt = Array.from({ length: 64 }, (_, i) => i % 512);
      const sequences = Array.from({ length: 8 }, () => ({ prompt, response: prompt }));
      const pass = () =>
        model.forwardBackward(sequences, ({ response }, { logprobs }) => ({
          loss: -logprobs.reduce((sum, logprob) => sum + logprob, 0),
          logprobGradient: new Float32Array(response.length).fill(-1),
        }));
      const { loss } = await pass();
      if (!Number.isFinite(loss)) return { name, outcome: "failed", detail: `the loss of a small model is ${loss}` };
      const start = performance.now();
      let tokens = 0;
      while (performance.now() - start < SPEED_CHECK_MS) tokens += (await pass()).tokens;
      const rate = tokens / ((performance.now() - start) / 1000);
      return {
        name,
        outcome: "ok",
        detail: `forward and backward at ${formatCount(rate)} tokens/s (${formatCount(model.info.parameterCount)} parameters)`,
      };
    } finally {
      await model.close();
    }
  } catch (error) {
    return { name, outcome: "failed", detail: (error as Error).message };
  }
}

/** Qwen3 shape, about 5 million parameters: the size the benchmarks use. */
const SPEED_MODEL = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 512,
  hidden_size: 256,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 32,
  intermediate_size: 768,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  hidden_act: "silu",
  attention_bias: false,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 0,
};

const MARKS: Readonly<Record<Outcome, string>> = { ok: "✓", warning: "!", failed: "✗", absent: "–" };

function describe(findings: readonly Finding[]): string {
  const widest = Math.max(...findings.map(({ name }) => name.length));
  return findings.map(({ name, outcome, detail }) => `${MARKS[outcome]} ${name.padEnd(widest)}  ${detail}\n`).join("");
}

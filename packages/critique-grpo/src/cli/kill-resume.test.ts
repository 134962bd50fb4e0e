/**
 * The built command is killed with SIGKILL at several points and resumed: the exported weights are those of the run
 * that was left alone, bit for bit. Needs `npm run build`.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CliProject } from "../testing/cli-project.js";

const PROGRAM = resolve(import.meta.dirname, "../../dist/cli/main.js");
const STEPS = 4;

let project: CliProject;
beforeAll(() => {
  project = new CliProject();
});
afterAll(() => project.remove());

interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** Runs the command; `kill` is asked after every piece of output and on a timer, and kills when it says so. */
function critiqueGrpo(
  argv: string[],
  kill?: { when: (output: string) => boolean; signal: NodeJS.Signals },
): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [PROGRAM, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let killed = false;
    const check = () => {
      if (!killed && kill?.when(output)) killed = child.kill(kill.signal);
    };
    const timer = setInterval(check, 1);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString();
        check();
      });
    }
    child.on("error", fail);
    child.on("close", (code, signal) => {
      clearInterval(timer);
      done({ code, signal, output });
    });
  });
}

function argv(directory: string): string[] {
  return ["train", project.path("run.yaml"), "--set", `steps=${STEPS}`, "--run-directory", project.path(directory)];
}

function weights(directory: string): Buffer {
  return readFileSync(project.path(directory, "model/model.safetensors"));
}

function checkpoints(directory: string): string[] {
  const path = project.path(directory, "checkpoints");
  return existsSync(path) ? readdirSync(path) : [];
}

describe.skipIf(!existsSync(PROGRAM))("critique-grpo train, killed and resumed (needs npm run build)", () => {
  beforeAll(async () => {
    expect(await critiqueGrpo(argv("whole"))).toMatchObject({ code: 0 });
  });

  it.each<[string, (directory: string) => (output: string) => boolean]>([
    ["before the first step", () => (output) => output.includes("run directory")],
    ["after the first step", () => (output) => output.includes(`step 1/${STEPS}`)],
    [
      "while a checkpoint is written",
      (directory) => () => checkpoints(directory).some((name) => name.endsWith(".tmp")),
    ],
    ["after the third step", () => (output) => output.includes(`step 3/${STEPS}`)],
    ["while the model is exported", (directory) => () => existsSync(join(project.path(directory), "model.tmp"))],
  ])("%s", async (point, when) => {
    const directory = point.replaceAll(" ", "-");
    const killed = await critiqueGrpo(argv(directory), { when: when(directory), signal: "SIGKILL" });
    // A machine may finish between the sign and the signal: the resumption must hold all the same.
    if (killed.signal === null) expect(killed.code).toBe(0);
    else expect(existsSync(project.path(directory, "model"))).toBe(false);

    const resumed = await critiqueGrpo([...argv(directory), "--resume"]);
    expect(resumed).toMatchObject({ code: 0 });
    expect(weights(directory).equals(weights("whole"))).toBe(true);
    const steps = (name: string) =>
      readFileSync(project.path(name, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { step: number; reward: number }).reward);
    expect(steps(directory)).toEqual(steps("whole"));
  });

  it("SIGINT ends it with a checkpoint and exit code 130", async () => {
    const stopped = await critiqueGrpo(argv("interrupted"), {
      when: (output) => output.includes(`step 1/${STEPS}`),
      signal: "SIGINT",
    });
    expect(stopped).toMatchObject({ code: 130, signal: null });
    expect(stopped.output).toContain("Stopping with a checkpoint");
    const resumed = await critiqueGrpo(["train", "--resume", project.path("interrupted")]);
    expect(resumed).toMatchObject({ code: 0 });
    expect(weights("interrupted").equals(weights("whole"))).toBe(true);
  });
});

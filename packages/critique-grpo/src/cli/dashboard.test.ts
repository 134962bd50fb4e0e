/** `critique-grpo dashboard` and `train --dashboard` as commands. Needs `npm run build` (the page). */
import type { RunListing } from "@critique-grpo/dashboard";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CliProject } from "../testing/cli-project.js";
import type { CliIo } from "./io.js";
import { main } from "./program.js";

let project: CliProject;
beforeAll(() => {
  project = new CliProject();
});
afterAll(() => project.remove());

/** A command that goes on: what it has printed so far, and how to stop it. */
function start(argv: readonly string[], onOutput: (stdout: string) => void = () => {}) {
  const stop = new AbortController();
  let stdout = "";
  const io: CliIo = {
    stdout: {
      write: (text) => {
        stdout += text;
        onOutput(stdout);
      },
    },
    stderr: { write: () => {} },
    readStdin: async () => null,
    interruption: () => ({ signal: stop.signal, release: () => {} }),
  };
  return { done: main(argv, io), stdout: () => stdout, stop: () => stop.abort() };
}

const address = (stdout: string) => /http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}\//.exec(stdout)?.[0];

it("is there while a run trains, and gone after it", async () => {
  let answer: Promise<Response> | undefined;
  const command = start(
    ["train", project.path("run.yaml"), "--run-directory", project.path("seen"), "--dashboard"],
    (stdout) => {
      const url = address(stdout);
      if (url !== undefined) answer ??= fetch(`${url}api/runs`);
    },
  );
  expect(await command.done).toBe(0);
  expect((await answer!).status).toBe(200);
  expect(command.stdout()).toContain("#/run/seen");
  await expect(fetch(address(command.stdout())!)).rejects.toThrow();
});

it("prints an address, shows the runs below a directory, and stops at the signal", async () => {
  const command = start(["dashboard", project.directory]);
  await expect.poll(() => address(command.stdout()), { timeout: 5000 }).toBeDefined();
  const url = address(command.stdout())!;
  const { runs } = (await (await fetch(`${url}api/runs`)).json()) as RunListing;
  expect(runs.map(({ id, state }) => [id, state])).toEqual([["seen", "finished"]]);
  command.stop();
  expect(await command.done).toBe(0);
  await expect(fetch(url)).rejects.toThrow();
});

it("says what is wrong with a directory or a port", async () => {
  const missing = await project.run(["dashboard", project.path("nothing")]);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toContain("is no directory");
  const port = await project.run(["dashboard", project.directory, "--port", "70000"]);
  expect(port.code).toBe(2);
  expect(port.stderr).toContain("at most 65535");
});

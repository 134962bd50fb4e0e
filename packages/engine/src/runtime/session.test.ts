import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { matMulChain, testModel } from "./onnx-test-model.js";
import { createSession } from "./session.js";
import type { Tensor } from "./types.js";

const matrix = (data: Float32Array, rows = 2, columns = rows): Tensor => ({
  type: "float32",
  shape: [rows, columns],
  data,
});

/** Long enough (some tenths of a second) that cancellation and timers show. */
const slowModel = matMulChain(512, 50);
const slowTensors = () => ({
  feeds: {
    a: matrix(new Float32Array(512 * 512).fill(0.01), 512),
    b: matrix(new Float32Array(512 * 512).fill(0.01), 512),
  },
  fetches: { y: matrix(new Float32Array(512 * 512), 512) },
});

const scratch = mkdtempSync(join(tmpdir(), "engine-runtime-"));
afterAll(() => rmSync(scratch, { recursive: true }));

describe("running", () => {
  const a = new Float32Array([1, 2, 3, 4]);
  const b = new Float32Array([1, 0, 0, 1]);

  test("outputs land in the caller's array, run after run, with whatever the inputs hold then", () => {
    const session = createSession(matMulChain("n"));
    const y = new Float32Array(4);
    const input = a.slice();
    const bound = session.bind({ a: matrix(input), b: matrix(b) }, { y: matrix(y) });
    bound.runSync();
    expect([...y]).toEqual([1, 2, 3, 4]);
    input.fill(7);
    bound.runSync();
    expect([...y]).toEqual([7, 7, 7, 7]);
    session.close();
  });

  test("views into one arena are used without copies, and only their part is written", async () => {
    const arena = new Float32Array(20).fill(-1);
    arena.set(a, 2);
    arena.set(b, 8);
    const session = createSession(matMulChain("n"));
    await session.run(
      { a: matrix(arena.subarray(2, 6)), b: matrix(arena.subarray(8, 12)) },
      { y: matrix(arena.subarray(14, 18)) },
    );
    expect([...arena.subarray(12)]).toEqual([-1, -1, 1, 2, 3, 4, -1, -1]);
    session.close();
  });

  test("names and shapes are known; other element types work", () => {
    const session = createSession(
      testModel(
        [{ op: "Cast", inputs: ["ids"], outputs: ["y"], ints: { to: 7 } }],
        [{ name: "ids", shape: ["n"], type: 6 }],
        [{ name: "y", shape: ["n"], type: 7 }],
      ),
    );
    expect(session.inputNames).toEqual(["ids"]);
    expect(session.outputNames).toEqual(["y"]);
    const y = new BigInt64Array(3);
    session
      .bind(
        { ids: { type: "int32", shape: [3], data: new Int32Array([4, 5, 6]) } },
        { y: { type: "int64", shape: [3], data: y } },
      )
      .runSync();
    expect([...y]).toEqual([4n, 5n, 6n]);
    session.close();
  });

  test("empty tensors are allowed", () => {
    const session = createSession(matMulChain("n"));
    const empty = matrix(new Float32Array(0), 0);
    session.bind({ a: empty, b: empty }, { y: empty }).runSync();
    session.close();
  });

  test("an asynchronous run leaves the event loop free", async () => {
    const session = createSession(slowModel);
    const { feeds, fetches } = slowTensors();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await session.run(feeds, fetches);
    clearInterval(timer);
    // A run that blocks lets none through.
    expect(ticks).toBeGreaterThan(5);
    session.close();
  });

  test("more runs than threads of the pool all finish", async () => {
    const session = createSession(matMulChain("n"));
    const outputs = Array.from({ length: 12 }, () => new Float32Array(4));
    await Promise.all(outputs.map((y) => session.run({ a: matrix(a), b: matrix(b) }, { y: matrix(y) })));
    for (const y of outputs) expect([...y]).toEqual([1, 2, 3, 4]);
    session.close();
  });
});

describe("cancelling", () => {
  test("an aborted run rejects with an AbortError long before it would have ended, and can run again", async () => {
    const session = createSession(slowModel);
    const { feeds, fetches } = slowTensors();
    const bound = session.bind(feeds, fetches);
    const controller = new AbortController();
    const fullStart = performance.now();
    await bound.run();
    const fullMs = performance.now() - fullStart;
    const start = performance.now();
    setTimeout(() => controller.abort(), 10);
    await expect(bound.run({ signal: controller.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(performance.now() - start).toBeLessThan(fullMs * 0.7);
    await bound.run({ signal: new AbortController().signal });
    session.close();
  });

  test("a signal that is already aborted starts nothing; one that aborts while queueing leaves the queue", async () => {
    const session = createSession(slowModel);
    const { feeds } = slowTensors();
    const start = () => session.bind(feeds, slowTensors().fetches);
    await expect(start().run({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
    const controller = new AbortController();
    const all = [0, 1, 2, 3].map(() => start().run({ signal: controller.signal }));
    setTimeout(() => controller.abort(), 10);
    for (const result of await Promise.allSettled(all)) expect(result.status).toBe("rejected");
    session.close();
  });
});

describe("mistakes are found before the call", () => {
  const session = createSession(matMulChain(2), { name: "head" });
  const ok = matrix(new Float32Array(4));
  afterAll(() => session.close());
  const feeds = { a: ok, b: ok };

  test.each([
    ["missing input", { a: ok }, { y: ok }, 'head: input "b" is missing'],
    ["unknown input", { ...feeds, c: ok }, { y: ok }, 'head: there is no input "c"; the model has a, b'],
    ["unknown output", feeds, { z: ok }, 'head: there is no output "z"; the model has y'],
    ["no output", feeds, {}, "head: no output was asked for"],
    ["wrong rank", { a: { ...ok, shape: [4] }, b: ok }, { y: ok }, 'input "a" has shape [4], expected [2, 2]'],
    ["wrong size", feeds, { y: { ...ok, shape: [2, 3] } }, 'output "y" has shape [2, 3], expected [2, 2]'],
    [
      "wrong element count",
      { a: { ...ok, data: new Float32Array(5) }, b: ok },
      { y: ok },
      'input "a" has 5 elements, but shape [2, 2] needs 4',
    ],
    [
      "wrong type",
      { a: { type: "int32", shape: [2, 2], data: new Int32Array(4) }, b: ok },
      { y: ok },
      'input "a" has type int32, expected float32',
    ],
    [
      "type and array differ",
      { a: { type: "float32", shape: [2, 2], data: new Int32Array(4) }, b: ok },
      { y: ok },
      "float32 data must be a Float32Array, not a Int32Array",
    ],
  ] as [string, Record<string, Tensor>, Record<string, Tensor>, string][])("%s", (_, inputs, outputs, message) => {
    expect(() => session.bind(inputs, outputs)).toThrow(message);
  });

  test("a symbolic size that does not fit is an error of the run, not a crash", () => {
    const symbolic = createSession(matMulChain("n"));
    const bound = symbolic.bind({ a: ok, b: ok }, { y: matrix(new Float32Array(9), 3) });
    expect(() => bound.runSync()).toThrow(/shape/i);
    symbolic.close();
  });

  test("bytes that are no model", () => {
    expect(() => createSession(new Uint8Array([1, 2, 3]))).toThrow(/protobuf|model/i);
    expect(() => createSession(new Uint8Array(0))).toThrow();
  });

  test("threads", () => {
    expect(() => createSession(matMulChain(2), { threads: 0 })).toThrow("threads must be a whole number");
  });
});

describe("lifetimes", () => {
  test("use after close is an error", async () => {
    const session = createSession(matMulChain(2), { name: "m" });
    const ok = matrix(new Float32Array(4));
    const bound = session.bind({ a: ok, b: ok }, { y: ok });
    bound.close();
    bound.close();
    expect(() => bound.runSync()).toThrow("m: the run is closed");
    await expect(bound.run()).rejects.toThrow("m: the run is closed");
    const second = session.bind({ a: ok, b: ok }, { y: ok });
    session.close();
    session.close();
    expect(() => second.runSync()).toThrow("m: the run is closed");
    expect(() => session.bind({ a: ok, b: ok }, { y: ok })).toThrow("m: the session is closed");
    expect(() => session.endProfiling()).toThrow("m: the session is closed");
  });

  test("closing the session during a run lets the run end first", async () => {
    const session = createSession(slowModel);
    const { feeds, fetches } = slowTensors();
    const bound = session.bind(feeds, fetches);
    const running = bound.run();
    expect(() => bound.runSync()).toThrow("in progress");
    session.close();
    await running;
    expect(() => bound.runSync()).toThrow("closed");
  });

  test("a profile is written where it was asked for", () => {
    const session = createSession(matMulChain(2), { profilePrefix: join(scratch, "profile") });
    const ok = matrix(new Float32Array(4));
    session.bind({ a: ok, b: ok }, { y: ok }).runSync();
    const path = session.endProfiling();
    expect(path.startsWith(join(scratch, "profile"))).toBe(true);
    expect(readFileSync(path, "utf8")).toContain("MatMul");
    session.close();
  });
});

describe("the process", () => {
  // A child of its own: what happens at the library's start and at the process's end.
  const child = (body: string) => {
    const home = mkdtempSync(join(scratch, "home-"));
    const here = (file: string) => JSON.stringify(fileURLToPath(new URL(file, import.meta.url)));
    const script = `
      const { createServer } = await import("vite");
      const server = await createServer({ configFile: false, logLevel: "silent", server: { middlewareMode: true, hmr: false, ws: false }, optimizeDeps: { noDiscovery: true }, cacheDir: ${JSON.stringify(join(scratch, "vite"))} });
      const { createSession } = await server.ssrLoadModule(${here("session.ts")});
      const { matMulChain } = await server.ssrLoadModule(${here("onnx-test-model.ts")});
      await server.close();
      ${body}
    `;
    const environment: NodeJS.ProcessEnv = {
      ...process.env,
      HOME: home,
      XDG_CACHE_HOME: join(home, "cache"),
      XDG_CONFIG_HOME: join(home, "config"),
      XDG_DATA_HOME: join(home, "data"),
      TMPDIR: join(home),
    };
    delete environment.ORT_DISABLE_TELEMETRY;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      env: environment,
      encoding: "utf8",
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
    });
    return { home, output };
  };
  const tensors = (size: number) =>
    `const t = () => ({ type: "float32", shape: [${size}, ${size}], data: new Float32Array(${size * size}).fill(0.01) });`;

  test("writes no file in the user's directories (ONNX Runtime's telemetry is off) and exits with open sessions", () => {
    const { home, output } = child(`
      ${tensors(2)}
      const session = createSession(matMulChain(2));
      await session.run({ a: t(), b: t() }, { y: t() });
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.stdout.write("done");
    `);
    expect(output).toBe("done");
    expect(readdirSync(home, { recursive: true })).toEqual([]);
  });

  test("can exit during a run", () => {
    const { output } = child(`
      ${tensors(512)}
      const session = createSession(matMulChain(512, 300));
      void session.run({ a: t(), b: t() }, { y: t() });
      setTimeout(() => { process.stdout.write("leaving"); process.exit(0); }, 30);
    `);
    expect(output).toBe("leaving");
  });
});

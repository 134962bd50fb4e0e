import { existsSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { VerifierPool } from "./pool.js";

const built = existsSync(new URL("../../dist/pool/worker.js", import.meta.url));
if (!built) process.stderr.write("math-verify: tests of the pool are skipped, run npm run build first\n");

/** A worker that speaks the protocol; what it does with a task is given as source text. */
function workerThat(action: string): URL {
  const source = `
    import { workerData } from "node:worker_threads";
    const port = workerData.port;
    port.on("message", (task) => {
      port.postMessage({ type: "started", id: task.id });
      const finish = () => port.postMessage({ type: "finished", id: task.id, elapsedMs: 1, verdict: { correct: true, outcome: "correct", reason: "", gold: task.gold, prediction: task.prediction } });
      ${action}
    });
    port.postMessage({ type: "ready" });`;
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

const HANG = `if (task.gold === "hang") for (;;) {} else finish();`;

let pool: VerifierPool | null = null;
afterEach(async () => {
  await pool?.close();
  pool = null;
});

describe("VerifierPool", () => {
  test.skipIf(!built)("verifies as the function does", async () => {
    pool = new VerifierPool({ workers: 2 });
    const verdicts = await Promise.all(
      Array.from({ length: 40 }, (_, index) => pool!.verify(String(index), `\\boxed{${index % 2 === 0 ? index : -1}}`)),
    );
    expect(verdicts.map(({ correct }) => correct)).toEqual(verdicts.map((_, index) => index % 2 === 0));
    expect(verdicts.every(({ elapsedMs }) => elapsedMs >= 0)).toBe(true);
  });

  test("a task that runs over is a timeout, and the worker is replaced", async () => {
    pool = new VerifierPool({ workers: 1, timeoutMs: 100, workerUrl: workerThat(HANG) });
    const [first, second, third] = await Promise.all([
      pool.verify("hang", "1"),
      pool.verify("2", "2"),
      pool.verify("hang", "3"),
    ]);
    expect([first!.outcome, second!.outcome, third!.outcome]).toEqual(["timeout", "correct", "timeout"]);
    expect(first).toMatchObject({ correct: false, reason: "took longer than 100 ms" });
  });

  test("the timeout begins with the work: a long queue of quick tasks has none", async () => {
    pool = new VerifierPool({ workers: 1, timeoutMs: 400, workerUrl: workerThat("setTimeout(finish, 20);") });
    const verdicts = await Promise.all(Array.from({ length: 40 }, () => pool!.verify("1", "1")));
    expect(new Set(verdicts.map(({ outcome }) => outcome))).toEqual(new Set(["correct"]));
  });

  test("an answer that already waits while this thread was busy is not a timeout", async () => {
    pool = new VerifierPool({ workers: 1, timeoutMs: 150, workerUrl: workerThat("setTimeout(finish, 30);") });
    await pool.verify("warm", "up");
    const pending = pool.verify("1", "1");
    await new Promise((resolve) => setTimeout(resolve, 20));
    const until = performance.now() + 400;
    while (performance.now() < until);
    expect((await pending).outcome).toBe("correct");
  });

  test("a crashed worker is an error of its own task only", async () => {
    pool = new VerifierPool({
      workers: 1,
      workerUrl: workerThat(`if (task.gold === "crash") throw new Error("gone"); finish();`),
    });
    const [crashed, fine] = await Promise.all([pool.verify("crash", "1"), pool.verify("1", "1")]);
    expect(crashed).toMatchObject({ outcome: "error", reason: "gone" });
    expect(fine!.outcome).toBe("correct");
  });

  test("workers that never start reject instead of waiting for ever", async () => {
    pool = new VerifierPool({ workers: 1, workerUrl: new URL("data:text/javascript,throw new Error('broken')") });
    await expect(pool.verify("1", "1")).rejects.toThrow(/do not start/);
  });

  test("closing rejects what is not finished, and further tasks", async () => {
    const closing = new VerifierPool({ workers: 1, workerUrl: workerThat(HANG) });
    const pending = closing.verify("hang", "1");
    const outcome = expect(pending).rejects.toThrow(/closed/);
    await closing.close();
    await outcome;
    await expect(closing.verify("1", "1")).rejects.toThrow(/closed/);
  });

  test("sizes that cannot be meant are refused", () => {
    expect(() => new VerifierPool({ workers: 0 })).toThrow(/workers/);
    expect(() => new VerifierPool({ timeoutMs: 0 })).toThrow(/timeoutMs/);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exchangedCredential, tokenExpiryMs } from "./credentials.js";
import type { HttpResponse } from "./http-client.js";
import { DEFAULT_RETRY, isBareBadRequest, retryAfterMs, retryDelayMs, shouldRetryStatus } from "./retry-policy.js";
import { Semaphore } from "./semaphore.js";

const answer = (status: number, headers: Record<string, string> = {}, body = "x"): HttpResponse => ({
  status,
  headers,
  body: Buffer.from(body),
});

describe("retries", () => {
  it("wait 0.5 s · 2ⁿ up to 10 s with up to a quarter less, ten times; then 1 s · 2ⁿ up to 30 s", () => {
    expect([0, 1, 2, 4, 5, 9].map((n) => retryDelayMs(DEFAULT_RETRY, n, 0))).toEqual([
      500, 1_000, 2_000, 8_000, 10_000, 10_000,
    ]);
    expect(retryDelayMs(DEFAULT_RETRY, 0, 0.9999)).toBeCloseTo(375, 0);
    expect([10, 11, 14, 15, 20].map((n) => retryDelayMs(DEFAULT_RETRY, n, 0))).toEqual([
      1_000, 2_000, 16_000, 30_000, 30_000,
    ]);
  });

  it.each([
    [408, true],
    [409, true],
    [429, true],
    [500, true],
    [503, true],
    [400, false],
    [401, false],
    [404, false],
    [422, false],
    [425, false],
  ])("status %d: %s", (status, retried) => {
    expect(shouldRetryStatus(answer(status), true)).toBe(retried);
    expect(shouldRetryStatus(answer(status, { "x-should-retry": "true" }), true)).toBe(true);
    expect(shouldRetryStatus(answer(status, { "x-should-retry": "false" }), true)).toBe(false);
  });

  it("409 is final where the dialect says so", () => expect(shouldRetryStatus(answer(409), false)).toBe(false));

  it("the server's wish counts up to a minute", () => {
    expect(retryAfterMs(answer(429, { "retry-after-ms": "1500" }), 0)).toBe(1_500);
    expect(retryAfterMs(answer(429, { "retry-after": "2.5" }), 0)).toBe(2_500);
    expect(retryAfterMs(answer(429, { "retry-after": "Thu, 01 Jan 1970 00:00:10 GMT" }), 4_000)).toBe(6_000);
    expect(retryAfterMs(answer(429, { "retry-after": "61" }), 0)).toBeUndefined();
    expect(retryAfterMs(answer(429, { "retry-after": "soon" }), 0)).toBeUndefined();
    expect(retryAfterMs(answer(429), 0)).toBeUndefined();
  });

  it("a 400 without a body is a proxy's", () => {
    expect(isBareBadRequest(answer(400, {}, ""))).toBe(true);
    expect(isBareBadRequest(answer(400))).toBe(false);
  });
});

describe("semaphore", () => {
  it("never gives out more than it has, keeps the order, and loses nothing to aborts", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ amount: fc.integer({ min: 1, max: 12 }), abort: fc.boolean() }), { maxLength: 20 }),
        async (jobs) => {
          const capacity = 10;
          const semaphore = new Semaphore(capacity);
          const started: number[] = [];
          let used = 0;
          const blocker = await semaphore.acquire(capacity);
          const running = jobs.map(async ({ amount, abort }, i) => {
            const controller = new AbortController();
            if (abort) setImmediate(() => controller.abort(new Error("aborted")));
            const release = await semaphore.acquire(amount, controller.signal).catch(() => undefined);
            if (release === undefined) return;
            started.push(i);
            used += Math.min(amount, capacity);
            expect(used).toBeLessThanOrEqual(capacity);
            await Promise.resolve();
            used -= Math.min(amount, capacity);
            release();
            release();
          });
          await new Promise((resolve) => setImmediate(resolve));
          await new Promise((resolve) => setImmediate(resolve));
          blocker();
          await Promise.all(running);
          expect(started).toEqual([...started].sort((a, b) => a - b));
          expect(started).toHaveLength(jobs.filter((job) => !job.abort).length);
          (await semaphore.acquire(capacity))();
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("exchanged tokens", () => {
  const token = (secondsFromNow: number): string =>
    `h.${Buffer.from(JSON.stringify({ exp: Math.floor(Date.now() / 1000) + secondsFromNow })).toString("base64url")}.s`;

  it("are used until a minute before they expire, and renewed in the background five minutes before", async () => {
    const given: string[] = [];
    const lifetimes = [3600, 3600];
    const make = (): string => {
      given.push(token(lifetimes[given.length] ?? 3600));
      return given.at(-1)!;
    };
    const source = exchangedCredential(() => Promise.resolve(make()));
    await Promise.all([source.get(), source.get(), source.get()]);
    expect(given).toHaveLength(1);
    const soon = exchangedCredential(() => Promise.resolve(token(200)));
    expect(await soon.get()).toBe(await soon.get());
    let count = 0;
    const expiring = exchangedCredential(() => Promise.resolve(token(30 + count++)));
    await expiring.get();
    await expiring.get();
    expect(count).toBe(2);
  });

  it("without a readable expiry are refused, and not shown", () => {
    expect(() => tokenExpiryMs("secret.token")).toThrow(/expiry/);
    expect(() => tokenExpiryMs("secret.token")).not.toThrow(/secret/);
  });
});

import { expect, test } from "vitest";
import { interleave } from "./interleave.js";

/** A side that reports its name and when it worked as its "settings" and "tokens". */
function script(body: string) {
  const code = `
    const lines = require("node:readline").createInterface({ input: process.stdin });
    console.log(JSON.stringify({ ready: true, versions: { fake: "1" }, settings: "none" }));
    let n = 0;
    lines.on("line", () => { ${body} });`;
  return { command: process.execPath, args: ["-e", code] };
}

const answer = "console.log(JSON.stringify({ seconds: 1, cpuSeconds: 1, tokens: n++, peakBytes: 5 }));";

test("sides work in turn, and the first of two rounds goes to each of them alike", async () => {
  const seen: string[] = [];
  const result = await interleave({ ours: script(answer), peer: script(answer) }, 2, (text) => seen.push(text));
  expect(seen.filter((text) => text.includes(":")).map((text) => text.replace(/:.*/, ""))).toEqual([
    "warm-up, ours",
    "warm-up, peer",
    "round 1 of 2, peer",
    "round 1 of 2, ours",
    "round 2 of 2, ours",
    "round 2 of 2, peer",
  ]);
  expect(result.ours.warmUp.tokens).toBe(0);
  expect(result.peer.rounds.map((round) => round.tokens)).toEqual([1, 2]);
  expect(result.peer.versions).toEqual({ fake: "1" });
});

test("a side that dies is named with what it said", async () => {
  const dying = script(`console.error("no module named torch"); process.exit(3);`);
  await expect(interleave({ ours: script(answer), peer: dying }, 1, () => undefined)).rejects.toThrow(
    /ended without an answer[\s\S]*no module named torch/,
  );
});

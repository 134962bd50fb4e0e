import { describe, expect, it } from "vitest";
import { Progress } from "./progress.js";

function capture(isTTY: boolean) {
  const written: string[] = [];
  let time = 100;
  const progress = new Progress({ isTTY, columns: 40, write: (text) => written.push(text) }, () => time);
  return {
    written,
    progress,
    pass: (seconds: number) => {
      time += seconds;
    },
  };
}

const step = (number: number) =>
  ({
    type: "step-finished",
    step: number,
    steps: 60,
    metrics: { reward: 0.25, "refinement/kept_accuracy": Number.NaN },
    groups: [],
  }) as const;

describe("Progress", () => {
  it("writes plain lines elsewhere than on a terminal, the first at once and then every five seconds", async () => {
    const { written, progress, pass } = capture(false);
    const sink = progress.sink("dr-grpo");
    for (let i = 1; i <= 12; i++) {
      pass(1);
      await sink(step(i));
    }
    expect(written).toEqual([
      "[   1 s] dr-grpo 1/60 · reward 0.25 · 59 s left\n",
      "[   6 s] dr-grpo 6/60 · reward 0.25 · 54 s left\n",
      "[  11 s] dr-grpo 11/60 · reward 0.25 · 49 s left\n",
    ]);
  });

  it("keeps one line on a terminal, no longer than it is wide, and clears it before a line that stays", () => {
    const { written, progress } = capture(true);
    progress.update("a text that is far too long for this narrow terminal");
    progress.say("done");
    expect(written[0]).toBe("\r\x1b[2K[   0 s] a text that is far too long fo");
    expect(written.slice(1)).toEqual(["\r\x1b[2K", "[   0 s] done\n"]);
  });
});

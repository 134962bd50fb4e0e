import { describe, expect, it } from "vitest";
import type { RunEvent } from "../../run/events.js";
import { formatCount, formatDuration, formatNumber, formatTable, sparkline } from "./format.js";
import { createProgress } from "./progress.js";

const metrics = {
  reward: 0.25,
  initial_accuracy: 0.5,
  "refinement/accuracy": 0.75,
  "tokens/generated": 300,
  "tokens/trained": 100,
  "seconds/step": 2,
};

const events: RunEvent[] = [
  { type: "run-started", task: "train", step: 0, steps: 3, resumed: false },
  { type: "phase", step: 0, phase: "sample" },
  { type: "step-finished", step: 1, steps: 3, metrics, groups: [] },
  { type: "warning", step: 1, message: "careful" },
  {
    type: "evaluation",
    step: 1,
    result: {
      pass1: { value: 0.5 },
      passAt: [
        { k: 1, value: 0.5 },
        { k: 8, value: 0.9 },
      ],
      persistentFailures: 1,
      questions: 9,
    },
  },
  { type: "checkpoint", step: 1, directory: "c" },
  { type: "run-interrupted", step: 1 },
];

async function display(isTTY: boolean, columns = 100): Promise<string> {
  let text = "";
  const stream = { write: (part: string) => (text += part), isTTY, columns };
  const progress = createProgress({ stream, title: "run", now: () => 0 });
  for (const event of events) await progress.sink(event);
  progress.close();
  return text;
}

const ESCAPE = "\x1b";

/** What a terminal shows in the end: cursor-up and erase are obeyed. */
function screen(text: string): string[] {
  const lines: string[] = [];
  const pattern = new RegExp(`${ESCAPE}\\[(\\d+)A${ESCAPE}\\[0J|([^${ESCAPE}\n]*)\n`, "g");
  for (const [, up, line] of text.matchAll(pattern)) {
    if (up !== undefined) lines.length -= Number(up);
    else lines.push(line!);
  }
  return lines;
}

describe("progress where nobody watches", () => {
  it("is one plain line a step, and one for what deserves it", async () => {
    expect((await display(false)).split("\n")).toEqual([
      "step 1/3  reward 0.25  accuracy 50.0 %  refined 75.0 %  tokens/s 200  2 s  ETA 0:04",
      "warning (step 1): careful",
      "evaluation after step 1: pass@1 50.0 %  pass@8 90.0 %  never solved 1/9",
      "stopped after step 1; continue with --resume",
      "",
    ]);
  });
});

describe("an evaluation of several sources", () => {
  it("says how each of them went", () => {
    let text = "";
    const progress = createProgress({ stream: { write: (part: string) => (text += part) }, title: "run" });
    const sources = [
      { dataSource: "math500", pass1: { value: 0.75 } },
      { dataSource: "aime24", pass1: { value: 0.25 } },
    ];
    const result = { pass1: { value: 0.5 }, passAt: [], persistentFailures: 2, questions: 4, sources };
    void progress.sink({ type: "evaluation", step: 3, result });
    expect(text).toBe("evaluation after step 3: pass@1 50.0 %  never solved 2/4  math500 75.0 %  aime24 25.0 %\n");
  });
});

describe("progress on a terminal", () => {
  it("is one block that is redrawn in place, below the lines that stay", async () => {
    const lines = screen(await display(true));
    expect(lines).toEqual([
      "warning (step 1): careful",
      "evaluation after step 1: pass@1 50.0 %  pass@8 90.0 %  never solved 1/9",
      "stopped after step 1; continue with --resume",
      "run · sample",
      expect.stringMatching(/^█+░+ step 1\/3 {2}elapsed 0:00 {2}ETA 0:04$/),
      "reward 0.25  accuracy 50.0 %  refined 75.0 %  tokens/s 200",
      "reward ▁",
    ]);
  });

  it("never writes a line that wraps", async () => {
    for (const line of screen(await display(true, 40)).filter((text) => /reward|step 1\/3 /.test(text))) {
      expect(line.length).toBeLessThan(40);
    }
  });
});

describe("numbers as people read them", () => {
  it("keeps four digits, hours and minutes, thousands", () => {
    expect([0.123456, 1234567, 0.00001, 0, Number.NaN, undefined].map(formatNumber)).toEqual([
      "0.1235",
      "1.23e+6",
      "1.00e-5",
      "0",
      "–",
      "–",
    ]);
    expect([0, 61, 3661, Number.NaN].map(formatDuration)).toEqual(["0:00", "1:01", "1:01:01", "–"]);
    expect([1234567, Number.NaN].map(formatCount)).toEqual(["1,234,567", "–"]);
    expect(sparkline([0, 0.5, 1, Number.NaN])).toBe("▁▅█");
    expect(
      formatTable([
        ["a", "1"],
        ["bb", "20"],
      ]),
    ).toBe("a    1\nbb  20");
  });
});

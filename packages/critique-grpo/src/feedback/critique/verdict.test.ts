import { describe, expect, it } from "vitest";
import { parseVerdict, trimCritique } from "./verdict.js";

describe("the verdict of a critique", () => {
  it.each([
    ["Step 2 is wrong.\nConclusion: wrong [END]", "wrong"],
    ["All steps hold.\n**Conclusion**: right [END]", "right"],
    ["**Conclusion: Correct**", "right"],
    ["CONCLUSION:\nincorrect", "wrong"],
    ["Conclusion: the student's answer is incorrect.", "wrong"],
    ["Conclusion: right. No: step 3 fails. Conclusion: wrong", "wrong"],
    ['It must end in "Conclusion: right/wrong [END]".', null],
    ["Conclusion: wrong / right", null],
    ["Conclusion: rightly so", null],
    ["The answer is wrong.", null],
    ["In conclusion, hm.", null],
    ["", null],
  ])("%j: %s", (text, verdict) => expect(parseVerdict(text)).toBe(verdict));

  it("takes linear time", () => {
    const start = performance.now();
    for (const piece of ["conclusion", "conclusion: ", "Conclusion:**", " "]) parseVerdict(piece.repeat(100_000));
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("trimming", () => {
  it.each([
    ["  A.\nConclusion: wrong [END]\nQuestion: another", "A.\nConclusion: wrong [END]"],
    ["<think>hm [END]</think>\n\nB is wrong.", "B is wrong."],
    ["<think>never ends", ""],
    [" \n", ""],
  ])("%j leaves %j", (text, kept) => expect(trimCritique(text)).toBe(kept));
});

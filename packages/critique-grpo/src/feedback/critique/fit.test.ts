import { describe, expect, it } from "vitest";
import { CUT_MARK, cutToFit } from "./fit.js";

describe("cutToFit", () => {
  const make = (room: number) => (critique: string) => (critique.length <= room ? `${critique}!` : null);

  it("keeps the longest beginning that fits, with a mark", () => {
    const critique = "0123456789".repeat(20);
    for (const room of [60, 100, 150]) {
      const cut = cutToFit(critique, CUT_MARK, make(room))!;
      expect(cut.text).toBe(`${critique.slice(0, room - CUT_MARK.length)}${CUT_MARK}`);
      expect(cut.prompt).toBe(`${cut.text}!`);
    }
  });

  it("keeps nothing rather than a useless rest", () => {
    expect(cutToFit("a".repeat(100), CUT_MARK, make(30))).toBeNull();
    expect(cutToFit("short", CUT_MARK, make(3))).toBeNull();
  });

  it("does not cut a character in two", () => {
    const cut = cutToFit("😀".repeat(50), "", make(61))!;
    expect(cut.text).toBe("😀".repeat(30));
  });
});

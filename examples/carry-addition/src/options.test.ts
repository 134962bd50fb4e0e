import { describe, expect, it } from "vitest";
import { parseOptions } from "./options.js";

describe("parseOptions", () => {
  it("runs three seeds unless told otherwise", () => {
    expect(parseOptions([])).toEqual({ seeds: [1, 2, 3], out: undefined, quick: false, help: false });
    expect(parseOptions(["--seeds", "7, 8", "--quick", "--out", "x"])).toEqual({
      seeds: [7, 8],
      out: "x",
      quick: true,
      help: false,
    });
  });

  it.each([
    [["--seeds", "1,x"], /"x" is not a seed/],
    [["--seeds", ""], /is not a seed/],
    [["--seeds", "1,1"], /twice/],
    [["--sed", "1"], /--sed[\s\S]*Usage/],
  ])("refuses %j", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});

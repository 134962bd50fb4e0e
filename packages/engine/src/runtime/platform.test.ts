import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { locateLibrary } from "./library.js";
import { runtimeInfo } from "./platform.js";

test("the library of this platform exists and has the package's version", () => {
  const { path, version } = locateLibrary();
  expect(existsSync(path)).toBe(true);
  const info = runtimeInfo();
  expect(info).toMatchObject({ libraryPath: path, version });
  expect(info.providers).toContain("CPUExecutionProvider");
  expect(info.threads).toBeGreaterThan(0);
});

test("a platform without a library is refused with a list of those that have one", () => {
  expect(() => locateLibrary({ os: "darwin", arch: "x64", libc: "none" })).toThrow(
    "ONNX Runtime has no library for darwin/x64; supported are Linux x64/arm64 with glibc, macOS arm64 and Windows",
  );
  expect(() => locateLibrary({ os: "linux", arch: "x64", libc: "musl" })).toThrow("linux/x64 with musl (Alpine Linux)");
  expect(locateLibrary({ os: "linux", arch: "arm64", libc: "glibc" }).path).toContain("linux/arm64");
});

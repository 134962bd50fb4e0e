import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Where ONNX Runtime's shared library is for one platform, inside the npm package onnxruntime-node. */
export interface LibraryLocation {
  readonly path: string;
  /** Version of the npm package. */
  readonly version: string;
}

/** What decides which library is loaded; a parameter so that every platform can be tested on any. */
export interface Platform {
  /** As `process.platform` and `process.arch`. */
  readonly os: string;
  readonly arch: string;
  /** The C library on Linux. */
  readonly libc: "glibc" | "musl" | "none";
}

const LIBRARY_NAMES: Readonly<Record<string, string>> = {
  "linux/x64": "libonnxruntime.so.1",
  "linux/arm64": "libonnxruntime.so.1",
  "darwin/arm64": "libonnxruntime.1.dylib",
  "win32/x64": "onnxruntime.dll",
  "win32/arm64": "onnxruntime.dll",
};

const SUPPORTED = "supported are Linux x64/arm64 with glibc, macOS arm64 and Windows x64/arm64";

/** The platform this process runs on. */
export function currentPlatform(): Platform {
  return { os: process.platform, arch: process.arch, libc: detectLibc() };
}

function detectLibc(): Platform["libc"] {
  if (process.platform !== "linux") return "none";
  // Node's report names the glibc it runs on, and nothing on musl. Network interfaces would make it slow.
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (report === undefined) return "glibc";
  report.excludeNetwork = true;
  const header = (report.getReport() as { header?: { glibcVersionRuntime?: string } }).header;
  return header?.glibcVersionRuntime === undefined ? "musl" : "glibc";
}

/**
 * Finds the shared library for a platform.
 * @throws Error that says which platforms are supported, or which npm package is incomplete.
 */
export function locateLibrary(platform: Platform = currentPlatform()): LibraryLocation {
  const key = `${platform.os}/${platform.arch}`;
  const name = LIBRARY_NAMES[key];
  if (name === undefined) {
    throw new Error(`ONNX Runtime has no library for ${key}; ${SUPPORTED}`);
  }
  if (platform.libc === "musl") {
    throw new Error(`ONNX Runtime has no library for ${key} with musl (Alpine Linux); ${SUPPORTED}`);
  }
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const version = (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
  const path = join(dirname(manifest), "bin", "napi-v6", platform.os, platform.arch, name);
  if (!existsSync(path)) {
    throw new Error(`${path} is missing: reinstall onnxruntime-node ${version} (npm ci)`);
  }
  return { path, version };
}

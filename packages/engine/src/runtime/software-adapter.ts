/**
 * Test support: a Vulkan driver that computes on the CPU (SwiftShader), so that the WebGPU provider runs without a GPU.
 * Chromium carries it together with a Vulkan loader; `conformance/webgpu/setup.sh` unpacks both from an npm package.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import koffi from "./foreign-functions.js";
import { runtimeInfo } from "./platform.js";

const LOADER = "libvulkan.so.1";
const DRIVER = "vk_swiftshader_icd.json";

const directories = [
  ...(process.env.SWIFTSHADER_DIRECTORY ? [process.env.SWIFTSHADER_DIRECTORY] : []),
  fileURLToPath(new URL("../../../../.venv/swiftshader", import.meta.url)),
  "/usr/lib/chromium",
];

/** Kept: a library is unloaded with its handle. */
const loaded: unknown[] = [];

/**
 * Makes WebGPU sessions of this process compute with SwiftShader. Call it before the first one.
 * @returns what is missing, or undefined if it is there
 */
export function useSoftwareAdapter(): string | undefined {
  if (process.platform !== "linux") return "SwiftShader is only looked for on Linux";
  const directory = directories.find((path) => [LOADER, DRIVER].every((name) => existsSync(join(path, name))));
  if (directory === undefined)
    return `no ${DRIVER} with ${LOADER} in $SWIFTSHADER_DIRECTORY, .venv/swiftshader or /usr/lib/chromium: run conformance/webgpu/setup.sh, or apt-get install chromium`;
  process.env.VK_ICD_FILENAMES = join(directory, DRIVER);
  // koffi is configured before ONNX Runtime is loaded, which must be the first.
  runtimeInfo();
  // Once it is loaded, Dawn's own request for the bare name finds it.
  if (loaded.length === 0) loaded.push(koffi.load(join(directory, LOADER), { global: true, lazy: true }));
  return undefined;
}

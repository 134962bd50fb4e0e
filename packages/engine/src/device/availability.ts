import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Device, type DeviceProvider, type ExecutionProvider, runtimeInfo } from "../runtime/index.js";
import { Transfer } from "./transfer.js";

/** Whether a provider works on this machine. */
export interface ProviderStatus {
  readonly provider: ExecutionProvider;
  readonly available: boolean;
  /** Why not, and what would help; or what is known of it. */
  readonly detail: string;
}

/** Names of ONNX Runtime's providers as the library lists them. */
const LIBRARY_NAMES: Readonly<Record<DeviceProvider, string>> = {
  webgpu: "WebGpuExecutionProvider",
  cuda: "CUDAExecutionProvider",
};

/** Tries each provider: copies a number to its device and back. */
export async function providerStatuses(): Promise<readonly ProviderStatus[]> {
  const statuses: ProviderStatus[] = [{ provider: "cpu", available: true, detail: "always there" }];
  for (const provider of ["webgpu", "cuda"] as const) statuses.push(await deviceStatus(provider));
  return statuses;
}

/** @throws Error that says why the provider cannot be used, and what would help. */
export async function assertAvailable(provider: ExecutionProvider): Promise<void> {
  if (provider === "cpu") return;
  const { available, detail } = await deviceStatus(provider);
  if (!available) throw new Error(`The device "${provider}" cannot be used: ${detail}`);
}

async function deviceStatus(provider: DeviceProvider): Promise<ProviderStatus> {
  const missing = missingParts(provider);
  if (missing !== undefined) return { provider, available: false, detail: missing };
  const device = new Device(provider);
  const transfer = new Transfer(device);
  try {
    const copy = await transfer.upload(Float32Array.of(42), [1]);
    const back = new Float32Array(1);
    await transfer.download(copy, back);
    copy.release();
    if (back[0] !== 42) return { provider, available: false, detail: `it returned ${back[0]} for 42` };
    return { provider, available: true, detail: "a device was found" };
  } catch (error) {
    return { provider, available: false, detail: `${readable(error as Error)}. ${ADVICE[provider]}` };
  } finally {
    transfer.close();
    device.close();
  }
}

/** ONNX Runtime puts the place in its source and the failed condition before what it has to say. */
function readable({ message }: Error): string {
  return message.trim().replace(/^.* was false\. /s, "");
}

const ADVICE: Readonly<Record<DeviceProvider, string>> = {
  webgpu:
    "It needs a GPU with a Vulkan driver and loader (libvulkan.so.1) on Linux, Direct3D 12 on Windows, Metal on macOS",
  cuda: "It needs an NVIDIA GPU with its driver, CUDA and cuDNN",
};

function missingParts(provider: DeviceProvider): string | undefined {
  const { libraryPath, providers, version } = runtimeInfo();
  if (!providers.includes(LIBRARY_NAMES[provider]))
    return `ONNX Runtime ${version} has no such provider on ${process.platform} ${process.arch}; it has ${providers.join(", ")}`;
  if (provider !== "cuda") return undefined;
  // Part of the npm package only where its install script could download them.
  const names =
    process.platform === "win32"
      ? ["onnxruntime_providers_shared.dll", "onnxruntime_providers_cuda.dll"]
      : ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"];
  const absent = names.filter((name) => !existsSync(join(dirname(libraryPath), name)));
  if (absent.length === 0) return undefined;
  return `${absent.join(" and ")} ${absent.length > 1 ? "are" : "is"} not beside ${libraryPath}; onnxruntime-node's install script downloads them (ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node --ignore-scripts=false)`;
}

import { check, loadLibrary, output } from "./native-library.js";
import type { ExecutionProvider } from "./types.js";

/** OrtMemoryInfo names of the providers' memory (allocator.h of ONNX Runtime). */
const MEMORY_NAMES = { webgpu: "WebGPU_Buf", cuda: "Cuda" } as const;
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;

const memoryInfos = new Map<ExecutionProvider, bigint>();

/** Puts a provider before the CPU's in a session's options. Whether a device exists turns out when the session is made. */
export function appendExecutionProvider(sessionOptions: bigint, provider: ExecutionProvider): void {
  const { release, status } = loadLibrary();
  switch (provider) {
    case "cpu":
      return;
    case "webgpu":
      check(status.SessionOptionsAppendExecutionProvider(sessionOptions, "WebGPU", null, null, 0));
      return;
    case "cuda": {
      const cudaOptions = output(status.CreateCUDAProviderOptions);
      try {
        check(status.SessionOptionsAppendExecutionProvider_CUDA_V2(sessionOptions, cudaOptions));
      } finally {
        release.ReleaseCUDAProviderOptions(cudaOptions);
      }
      return;
    }
    default:
      throw new Error(`Unknown execution provider ${provider satisfies never}`);
  }
}

/** Describes the memory that a provider's sessions compute in; kept for the life of the process. */
export function deviceMemoryInfo(provider: ExecutionProvider): bigint {
  if (provider === "cpu") throw new Error("The CPU provider has no memory of its own: outputs need an array");
  let info = memoryInfos.get(provider);
  if (info === undefined) {
    const { CreateMemoryInfo } = loadLibrary().status;
    info = output(CreateMemoryInfo, MEMORY_NAMES[provider], DEVICE_ALLOCATOR, 0, DEFAULT_MEMORY);
    memoryInfos.set(provider, info);
  }
  return info;
}

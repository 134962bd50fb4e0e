export { AbortError, throwIfAborted } from "./abort.js";
export { Device, type DeviceFetch, type DeviceSession, type DeviceTensor } from "./device.js";
export { OnnxRuntimeError } from "./native.js";
export { type RuntimeInfo, runtimeInfo } from "./platform.js";
export { createSession } from "./session.js";
export type * from "./types.js";

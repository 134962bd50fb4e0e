/** Checks that what was unpacked is a model: complete safetensors files with a configuration beside them. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { UnpackedFile } from "./tinker-archive.js";

/** Longer headers are not read: the largest models have some megabytes. */
const MAX_HEADER_BYTES = 100 * 2 ** 20;

export type ExportKind = "lora-adapter" | "model";

/** @throws Error that says what is missing or damaged. */
export async function verifyExport(directory: string, files: readonly UnpackedFile[]): Promise<ExportKind> {
  const names = new Set(files.map(({ name }) => name));
  const weights = files.filter(({ name }) => name.endsWith(".safetensors"));
  if (weights.length === 0)
    throw new Error(`the archive holds no safetensors file: ${[...names].join(", ") || "it is empty"}`);
  for (const { name, bytes } of weights) await checkSafetensors(join(directory, name), name, bytes);
  if (names.has("adapter_config.json") && names.has("adapter_model.safetensors")) return "lora-adapter";
  if (names.has("config.json")) return "model";
  throw new Error(
    `the archive holds weights but neither adapter_config.json with adapter_model.safetensors nor config.json: ${[...names].join(", ")}`,
  );
}

/** The header's tensors must lie within the file and fill it. */
async function checkSafetensors(path: string, name: string, bytes: number): Promise<void> {
  const handle = await open(path, "r");
  try {
    const length = Buffer.alloc(8);
    const { bytesRead } = await handle.read(length, 0, 8, 0);
    const headerBytes = bytesRead === 8 ? Number(length.readBigUInt64LE()) : Number.NaN;
    if (!(headerBytes > 0 && headerBytes <= Math.min(MAX_HEADER_BYTES, bytes - 8))) {
      throw new Error(`${name} is no safetensors file: its header would have ${headerBytes} of ${bytes} bytes`);
    }
    const text = Buffer.alloc(headerBytes);
    await handle.read(text, 0, headerBytes, 8);
    let header: Record<string, { data_offsets?: unknown }>;
    try {
      header = JSON.parse(text.toString("utf8")) as typeof header;
    } catch (error) {
      throw new Error(`${name} is no safetensors file: ${(error as Error).message}`, { cause: error });
    }
    let end = 0;
    for (const [tensor, entry] of Object.entries(header)) {
      if (tensor === "__metadata__") continue;
      const offsets = entry.data_offsets;
      const [from, to] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
      if (typeof from !== "number" || typeof to !== "number" || from < 0 || to < from) {
        throw new Error(`${name}: the tensor ${tensor} has no valid data_offsets`);
      }
      end = Math.max(end, to);
    }
    if (8 + headerBytes + end !== bytes) {
      throw new Error(
        `${name} has ${bytes} bytes, its tensors need ${8 + headerBytes + end}: it is damaged or cut off`,
      );
    }
  } finally {
    await handle.close();
  }
}

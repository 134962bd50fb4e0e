import { type FileHandle, open } from "node:fs/promises";
import { writeFileAtomically } from "./atomic-file.js";
import { type FloatType, narrow, widen } from "./half.js";
import { MAX_HEADER_BYTES, parseHeader, type SafetensorsHeader, type TensorEntry } from "./safetensors-header.js";

/** Elements converted at a time: keeps the extra memory of reading and writing small whatever the tensor's size. */
const CHUNK_ELEMENTS = 1 << 20;

const FLOAT_TYPES: Readonly<Record<string, FloatType>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };
const DTYPES: Readonly<Record<FloatType, string>> = { float32: "F32", float16: "F16", bfloat16: "BF16" };

/** A safetensors file, opened for reading tensor by tensor. */
export class SafetensorsFile {
  readonly path: string;
  readonly header: SafetensorsHeader;
  readonly #file: FileHandle;
  /** Where 16-bit numbers lie before they are widened: the same for all tensors. */
  #chunk = new Uint16Array(0);

  private constructor(path: string, header: SafetensorsHeader, file: FileHandle) {
    this.path = path;
    this.header = header;
    this.#file = file;
  }

  /** @throws Error that names the file (and tensor) if it is missing, truncated or inconsistent. */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
      throw new Error(`${path}: ${error.code === "ENOENT" ? "no such file" : error.message}`, { cause: error });
    });
    try {
      const { size } = await file.stat();
      const length = Buffer.alloc(8);
      if (size >= 8) await file.read(length, 0, 8, 0);
      const headerBytes = size < 8 ? Number.POSITIVE_INFINITY : Number(length.readBigUInt64LE());
      if (headerBytes > MAX_HEADER_BYTES || headerBytes > size - 8) {
        throw new Error(
          `${path}: the header does not fit into the file (${size} bytes): it is truncated or not safetensors`,
        );
      }
      const json = Buffer.alloc(headerBytes);
      await file.read(json, 0, headerBytes, 8);
      return new SafetensorsFile(path, parseHeader(path, json.toString("utf8"), 8 + headerBytes, size), file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Reads a tensor into memory of the caller: as float32, half precision widened exactly, or as the 16 bits that are there.
   * @throws Error that names file and tensor: missing, not of the shape expected, not a float, truncated.
   */
  async read(name: string, shape: readonly number[], target: Float32Array | Uint16Array): Promise<void> {
    const where = `${this.path}: tensor "${name}"`;
    const entry = this.header.tensors.get(name);
    if (entry === undefined) throw new Error(`${where} is missing`);
    if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
      throw new Error(`${where} has shape [${entry.shape.join(", ")}], expected [${shape.join(", ")}]`);
    }
    const type = FLOAT_TYPES[entry.dtype];
    if (type === undefined) {
      throw new Error(`${where} has dtype ${entry.dtype}; supported: ${Object.keys(FLOAT_TYPES).join(", ")}`);
    }
    if (target instanceof Uint16Array && type === "float32")
      throw new Error(`${where} has dtype ${entry.dtype}, expected 16 bits`);
    if (type === "float32" || target instanceof Uint16Array) {
      await this.#readBytes(entry, 0, new Uint8Array(target.buffer, target.byteOffset, target.byteLength));
      return;
    }
    const size = Math.min(CHUNK_ELEMENTS, target.length);
    if (this.#chunk.length < size) this.#chunk = new Uint16Array(size);
    for (let first = 0; first < target.length; first += size) {
      const part = this.#chunk.subarray(0, Math.min(size, target.length - first));
      await this.#readBytes(entry, 2 * first, new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      widen(part, type, target.subarray(first, first + part.length));
    }
  }

  /** In which float format a tensor is stored; undefined for others, and if there is none of this name. */
  typeOf(name: string): FloatType | undefined {
    return FLOAT_TYPES[this.header.tensors.get(name)?.dtype ?? ""];
  }

  async #readBytes(entry: TensorEntry, offset: number, target: Uint8Array): Promise<void> {
    const start = this.header.dataStart + entry.start + offset;
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#file.read(target, done, Math.min(target.length - done, 1 << 28), start + done);
      if (bytesRead === 0) throw new Error(`${this.path}: tensor "${entry.name}" is truncated`);
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  /** A function is called when the tensor is written, so that one tensor at a time needs memory. */
  readonly data: Float32Array | (() => Float32Array);
}

/**
 * Writes a safetensors file: to a temporary name, synced, renamed, so that no reader ever sees half of it.
 * @param metadata Strings of the header's `__metadata__`; transformers wants `format: "pt"`, which is the default.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  options: { readonly dtype?: FloatType; readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const dtype = options.dtype ?? "float32";
  const elementBytes = dtype === "float32" ? 4 : 2;
  const header: Record<string, unknown> = { __metadata__: options.metadata ?? { format: "pt" } };
  let end = 0;
  for (const { name, shape } of tensors) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (Object.hasOwn(header, name)) throw new Error(`${path}: two tensors are called "${name}"`);
    header[name] = { dtype: DTYPES[dtype], shape, data_offsets: [end, end + elements * elementBytes] };
    end += elements * elementBytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  // The data section starts at a multiple of eight bytes; the format pads with spaces.
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const start = Buffer.alloc(8 + headerBytes, " ");
  start.writeBigUInt64LE(BigInt(headerBytes));
  json.copy(start, 8);
  await writeFileAtomically(path, async (write) => {
    await write(start);
    for (const tensor of tensors) {
      const data = typeof tensor.data === "function" ? tensor.data() : tensor.data;
      if (dtype === "float32") {
        await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        continue;
      }
      for (let first = 0; first < data.length; first += CHUNK_ELEMENTS) {
        const part = data.subarray(first, first + CHUNK_ELEMENTS);
        const halves = new Uint16Array(part.length);
        narrow(part, dtype, halves);
        await write(new Uint8Array(halves.buffer));
      }
    }
  });
}

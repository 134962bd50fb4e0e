/** JSON lines by byte offset: files of any size in bounded memory. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";

const CHUNK_BYTES = 1 << 20;
const NEWLINE = 0x0a;

export interface Line {
  /** Of its first byte in the file. */
  readonly offset: number;
  /** Without the newline; valid until the next line is asked for. */
  readonly bytes: Buffer;
}

/** The whole lines of a file from a byte offset on; a last line without its end is left out. */
export async function* readLines(path: string, start = 0): AsyncGenerator<Line> {
  let offset = start;
  let pending: Buffer[] = [];
  for await (const chunk of createReadStream(path, { start, highWaterMark: CHUNK_BYTES })) {
    const bytes = chunk as Buffer;
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      const tail = bytes.subarray(from, end);
      const line = pending.length === 0 ? tail : Buffer.concat([...pending, tail]);
      pending = [];
      yield { offset, bytes: line };
      offset += line.length + 1;
      from = end + 1;
    }
    if (from < bytes.length) pending.push(bytes.subarray(from));
  }
}

/** Bytes [offset, offset + length) of a file; fewer where it ends earlier. */
export async function readBytes(path: string, offset: number, length: number): Promise<Buffer> {
  const handle = await open(path, "r");
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The whole lines among the last `maxBytes` of a file, oldest first; none if there is no such file. */
export async function readLastLines(path: string, maxBytes: number): Promise<string[]> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (handle === null) return [];
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - maxBytes);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
    const lines = buffer.subarray(0, bytesRead).toString("utf8").split("\n");
    // The first is cut unless the file begins there; the last is torn, or empty behind the last newline.
    return lines.slice(start === 0 ? 0 : 1, -1);
  } finally {
    await handle.close();
  }
}

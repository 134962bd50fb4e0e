/**
 * Unpacks an archive (tar, gzipped or not) that came from a server. It is not trusted: only files and directories below
 * the target are made, never a link, never twice the same name, and never more than the limits.
 */
import { createReadStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createGunzip } from "node:zlib";

export interface UnpackLimits {
  /** Bytes of all files together (default 64 GiB). */
  readonly maxBytes?: number;
  /** Files and directories (default 10,000). */
  readonly maxEntries?: number;
}

export interface UnpackedFile {
  /** Relative to the target, with slashes. */
  readonly name: string;
  readonly bytes: number;
}

const BLOCK = 512;
const DEFAULT_MAX_BYTES = 64 * 2 ** 30;
const DEFAULT_MAX_ENTRIES = 10_000;
/** Long names travel in entries of their own; they are short texts. */
const MAX_EXTENSION_BYTES = 64 * 1024;

/**
 * @param directory exists; files are made in it
 * @returns the files, in the archive's order
 * @throws Error that names the archive and the entry if it is damaged, truncated or unsafe
 */
export async function unpackArchive(
  archive: string,
  directory: string,
  limits: UnpackLimits = {},
): Promise<UnpackedFile[]> {
  const { maxBytes = DEFAULT_MAX_BYTES, maxEntries = DEFAULT_MAX_ENTRIES } = limits;
  const fail = (problem: string): never => {
    throw new Error(`${archive}: ${problem}; nothing of it should be used`);
  };
  const reader = await ByteReader.open(archive);
  try {
    const files: UnpackedFile[] = [];
    const seen = new Set<string>();
    let longName: string | undefined;
    let longSize: number | undefined;
    let total = 0;
    let entries = 0;
    for (;;) {
      const header = await reader.read(BLOCK);
      if (header.every((byte) => byte === 0)) break;
      checkSum(header, fail);
      const type = String.fromCharCode(header[156]!);
      const size = longSize ?? octal(header, 124, 12, fail);
      const padding = (BLOCK - (size % BLOCK)) % BLOCK;
      if (type === "x" || type === "g" || type === "L") {
        if (size > MAX_EXTENSION_BYTES) fail(`an extended header of ${size} bytes`);
        const content = (await reader.read(size)).toString("utf8");
        await reader.read(padding);
        if (type === "L") longName = content.replace(/\0.*$/s, "");
        if (type === "x") {
          const records = paxRecords(content, fail);
          longName = records.get("path") ?? longName;
          const paxSize = records.get("size");
          if (paxSize !== undefined) longSize = wholeNumber(paxSize, fail);
        }
        continue;
      }
      const given = longName ?? ustarName(header);
      // SkyRL's archives begin with the directory "/", which stands for their own root.
      const name = type === "5" && given === "/" ? "" : safeName(given, fail);
      longName = undefined;
      longSize = undefined;
      if (++entries > maxEntries) fail(`more than ${maxEntries} entries`);
      switch (type) {
        case "5":
          if (name !== "") await mkdir(join(directory, name), { recursive: true });
          break;
        case "0":
        case "\0": {
          if (name === "") fail("a file without a name");
          // Names that differ only in case are one file on some systems.
          if (seen.has(name.toLowerCase())) fail(`${name} stands twice in it`);
          seen.add(name.toLowerCase());
          total += size;
          if (total > maxBytes) fail(`its files have more than ${maxBytes} bytes`);
          await writeEntry(reader, join(directory, name), size);
          await reader.read(padding);
          files.push({ name, bytes: size });
          break;
        }
        default:
          fail(
            `${name} is a ${KINDS[type] ?? `entry of type ${JSON.stringify(type)}`}, only files and directories are unpacked`,
          );
      }
    }
    // gzip keeps its checksum at the end: read on, or damage goes unnoticed.
    await reader.drain();
    return files;
  } catch (error) {
    const problem = error as Error;
    throw problem.message.startsWith(archive) ? problem : new Error(`${archive}: ${problem.message}`, { cause: error });
  } finally {
    reader.close();
  }
}

const KINDS: Readonly<Record<string, string>> = {
  "1": "hard link",
  "2": "symbolic link",
  "3": "character device",
  "4": "block device",
  "6": "pipe",
};

type Fail = (problem: string) => never;

/** A name below the target; empty for the archive's own root. */
function safeName(name: string, fail: Fail): string {
  const shown = JSON.stringify(name);
  if (/[\0\\:]/.test(name)) fail(`the name ${shown} holds a backslash, a colon or a NUL`);
  if (name.startsWith("/")) fail(`the name ${shown} is absolute`);
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) fail(`the name ${shown} leads out of the directory`);
  return parts.join("/");
}

function ustarName(header: Buffer): string {
  const name = text(header, 0, 100);
  const prefix = text(header, 257, 5) === "ustar" ? text(header, 345, 155) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function text(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString("utf8");
}

function octal(header: Buffer, start: number, length: number, fail: Fail): number {
  if (header[start]! & 0x80) {
    // GNU: sizes from 8 GiB on are big-endian binary.
    let value = BigInt(header[start]! & 0x7f);
    for (let i = start + 1; i < start + length; i++) value = (value << 8n) | BigInt(header[i]!);
    return wholeNumber(String(value), fail);
  }
  const digits = text(header, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) fail(`the number ${JSON.stringify(digits)} is not octal`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function wholeNumber(digits: string, fail: Fail): number {
  const value = Number(digits);
  return /^\d+$/.test(digits) && Number.isSafeInteger(value) ? value : fail(`the size ${JSON.stringify(digits)}`);
}

/** Sum of the header's bytes with its own field as spaces. */
function checkSum(header: Buffer, fail: Fail): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  if (sum !== octal(header, 148, 8, fail)) fail("a header's checksum is wrong: it is damaged, or not a tar archive");
}

/** `length key=value\n`, again and again; length counts the whole record in bytes. */
function paxRecords(content: string, fail: Fail): Map<string, string> {
  const records = new Map<string, string>();
  const bytes = Buffer.from(content);
  let at = 0;
  while (at < bytes.length && bytes[at] !== 0) {
    const space = bytes.indexOf(32, at);
    const length = space < 0 ? Number.NaN : Number(bytes.subarray(at, space).toString());
    if (!Number.isSafeInteger(length) || length <= space - at || at + length > bytes.length)
      fail("a broken extended header");
    const [key, ...value] = bytes
      .subarray(space + 1, at + length - 1)
      .toString("utf8")
      .split("=");
    records.set(key!, value.join("="));
    at += length;
  }
  return records;
}

async function writeEntry(reader: ByteReader, path: string, size: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  // "wx": a file that is there already is not ours to replace.
  const handle = await open(path, "wx");
  try {
    for (let left = size; left > 0; ) {
      const part = await reader.some(left);
      await handle.writeFile(part);
      left -= part.length;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Bytes of a file, unzipped if they are gzip, in the portions that are asked for. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #close: () => void;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(source: AsyncIterable<Buffer>, close: () => void) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#close = close;
  }

  static async open(path: string): Promise<ByteReader> {
    const handle = await open(path, "r");
    const magic = Buffer.alloc(2);
    try {
      await handle.read(magic, 0, 2, 0);
    } finally {
      await handle.close();
    }
    const raw = createReadStream(path);
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) return new ByteReader(raw, () => raw.destroy());
    const unzipped = createGunzip();
    raw.on("error", (error) => unzipped.destroy(error));
    raw.pipe(unzipped);
    return new ByteReader(unzipped, () => {
      raw.destroy();
      unzipped.destroy();
    });
  }

  /** At least one and at most `limit` bytes. */
  async some(limit: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) throw new Error("the archive ends in the middle: it was cut off");
      this.#rest = value;
    }
    const part = this.#rest.subarray(0, limit);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async read(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const part = await this.some(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Reads to the end. What follows the end of a tar is padding. */
  async drain(): Promise<void> {
    for (;;) {
      if (this.#rest.some((byte) => byte !== 0)) throw new Error("there is data behind the end of the archive");
      const { done, value } = await this.#chunks.next();
      if (done === true) return;
      this.#rest = value;
    }
  }

  close(): void {
    this.#close();
  }
}

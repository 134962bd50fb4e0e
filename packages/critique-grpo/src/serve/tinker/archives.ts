/** Download of saved weights as tar.gz, under links that work for a while without the key. */
import { createHmac, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { type CheckpointPath, formatCheckpointPath } from "@critique-grpo/tinker";
import { HttpError } from "../../http/errors.js";
import { sameSecret } from "../../http/guard.js";
import type { CheckpointStore } from "../models/checkpoint-store.js";

const LINK_LIFE_MS = 15 * 60_000;
const BLOCK = 512;

export class ArchiveLinks {
  readonly #secret = randomBytes(32);

  constructor(
    private readonly store: CheckpointStore,
    private readonly baseUrl: () => string,
  ) {}

  create(checkpoint: CheckpointPath): { location: string; expires: Date } {
    const expires = new Date(Date.now() + LINK_LIFE_MS);
    const path = formatCheckpointPath(checkpoint);
    const query = new URLSearchParams({
      path,
      expires: String(expires.getTime()),
      signature: this.#sign(path, expires),
    });
    return { location: `${this.baseUrl()}/archives?${query}`, expires };
  }

  /** Sends the archive of a link. Throws HttpError 403 for one that this server did not make, or that is old. */
  async send(response: ServerResponse, query: URLSearchParams): Promise<void> {
    const path = query.get("path") ?? "";
    const expires = new Date(Number(query.get("expires")));
    if (!(expires.getTime() > Date.now()) || !sameSecret(query.get("signature") ?? "", this.#sign(path, expires)))
      throw new HttpError(403, "This link is not valid (any more); ask for the archive again");
    const record = this.store.get(path);
    response.writeHead(200, {
      "content-type": "application/gzip",
      "content-disposition": `attachment; filename="${record.name}.tar.gz"`,
    });
    // Weights hardly compress: the fastest level.
    await pipeline(Readable.from(tarOf(this.store.weightsDirectory(record))), createGzip({ level: 1 }), response);
  }

  #sign(path: string, expires: Date): string {
    return createHmac("sha256", this.#secret).update(`${expires.getTime()} ${path}`).digest("hex");
  }
}

/** The files of one folder in the ustar format. */
async function* tarOf(directory: string): AsyncGenerator<Buffer> {
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    const { size } = await stat(path);
    yield tarHeader(name, size);
    for await (const chunk of createReadStream(path)) yield chunk as Buffer;
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  if (size < 8 ** 11) header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  else {
    // GNU's form for 8 GiB and more: binary, marked by the top bit.
    header.writeBigUInt64BE(BigInt(size), 128);
    header[124] = 0x80;
  }
  header.write(
    `${Math.floor(Date.now() / 1000)
      .toString(8)
      .padStart(11, "0")}\0`,
    136,
  );
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

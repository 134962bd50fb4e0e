/** Tar archives and safetensors files written by hand, good and bad, for tests. */

export interface TarEntry {
  readonly name: string;
  readonly content?: Buffer | string;
  /** Default "0": a file. */
  readonly type?: string;
  readonly link?: string;
  /** Size to claim; default: that of the content. */
  readonly size?: number;
}

export function tar(entries: readonly TarEntry[], { end = true } = {}): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? "");
    return [header(entry, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(end ? 1024 : 0)]);
}

function header({ name, type = "0", link = "", size }: TarEntry, bytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write("0000644\0", 100);
  block.write(`${(size ?? bytes).toString(8).padStart(11, "0")}\0`, 124);
  block.write(type, 156);
  block.write(link, 157, 100);
  block.write("ustar\x0000", 257);
  block.write(" ".repeat(8), 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** A pax record: its length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

/** One float32 tensor. */
export function safetensors(values: readonly number[]): Buffer {
  const data = Buffer.from(Float32Array.from(values).buffer);
  const text = JSON.stringify({ w: { dtype: "F32", shape: [values.length], data_offsets: [0, data.length] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, Buffer.from(text), data]);
}

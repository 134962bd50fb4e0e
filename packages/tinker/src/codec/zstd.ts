import * as zlib from "node:zlib";

type Compress = (bytes: Uint8Array) => Uint8Array;
type ZlibWithZstd = typeof zlib & { readonly zstdCompressSync?: Compress; readonly zstdDecompressSync?: Compress };

const zstd: ZlibWithZstd = zlib;

/** Whether this Node has zstd (20.19 has not; 22.15 and later have). It is optional in the protocol, so no package is pulled in. */
export function zstdAvailable(): boolean {
  return typeof zstd.zstdCompressSync === "function";
}

/** Compressed bytes, or undefined where this Node cannot. */
export function zstdCompress(bytes: Uint8Array): Uint8Array | undefined {
  return zstd.zstdCompressSync?.(bytes);
}

/** Decompressed bytes, for servers; undefined where this Node cannot. */
export function zstdDecompress(bytes: Uint8Array): Uint8Array | undefined {
  return zstd.zstdDecompressSync?.(bytes);
}

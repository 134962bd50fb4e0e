import koffi from "./foreign-functions.js";

/** MADV_HUGEPAGE of <sys/mman.h> on Linux. */
const MADV_HUGEPAGE = 14;
const HUGE_PAGE_BYTES = 2 * 2 ** 20;

type Advise = (address: bigint, bytes: bigint, advice: number) => number;
let advise: Advise | null | undefined;

/**
 * An array of zeros that is read over and over: on Linux the kernel is asked for pages of 2 MiB instead of 4 KiB, before
 * the first touch, which saves the processor most of its look-ups of addresses. A hint only: elsewhere, or where it is
 * refused, the array is an ordinary one.
 */
export function streamedArray(length: number): Float32Array<ArrayBuffer> {
  const data = new Float32Array(length);
  if (data.byteLength < 2 * HUGE_PAGE_BYTES) return data;
  advise ??= loadAdvise();
  const size = BigInt(HUGE_PAGE_BYTES);
  const address = koffi.address(data);
  const start = ((address + size - 1n) / size) * size;
  const end = ((address + BigInt(data.byteLength)) / size) * size;
  advise?.(start, end - start, MADV_HUGEPAGE);
  return data;
}

function loadAdvise(): Advise | null {
  if (process.platform !== "linux") return null;
  try {
    return koffi.load("libc.so.6").func("madvise", "int", ["void *", "size_t", "int"]) as unknown as Advise;
  } catch {
    return null;
  }
}

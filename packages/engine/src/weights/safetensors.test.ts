import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { narrow, widen } from "./half.js";
import { SafetensorsFile, writeSafetensors } from "./safetensors.js";

const scratch = mkdtempSync(join(tmpdir(), "engine-weights-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const path = join(scratch, "t.safetensors");
/** A file with any header, also one the writer would never make. */
function craft(header: unknown, dataBytes: number, options: { headerBytes?: number } = {}): string {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(options.headerBytes ?? json.length));
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}
const f32 = (shape: number[], start: number, end: number) => ({ dtype: "F32", shape, data_offsets: [start, end] });

describe("round trip", () => {
  const data = Float32Array.from([1, -2.5, 3e-8, 65504, 0, -0]);

  test.each(["float32", "bfloat16", "float16"] as const)("%s", async (dtype) => {
    await writeSafetensors(
      path,
      [
        { name: "a", shape: [2, 3], data },
        { name: "b", shape: [], data: data.slice(1, 2) },
      ],
      {
        dtype,
      },
    );
    const file = await SafetensorsFile.open(path);
    expect(file.header.metadata).toEqual({ format: "pt" });
    expect(file.header.dataStart % 8).toBe(0);
    const target = new Float32Array(6);
    await file.read("a", [2, 3], target);
    if (dtype === "float32") expect(target).toEqual(data);
    else
      for (const [i, value] of target.entries())
        expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual(0.004 * Math.abs(data[i]!) + 6e-8);
    const scalar = new Float32Array(1);
    await file.read("b", [], scalar);
    expect(scalar[0]).toBe(-2.5);
    await file.close();
  });

  test("nothing is left behind under another name", () => {
    expect(readdirSync(scratch)).toEqual(["t.safetensors"]);
  });

  test("a failing write leaves the old file as it was", async () => {
    const before = readFileSync(path);
    const twice = { name: "x", shape: [1], data: new Float32Array(1) };
    await expect(writeSafetensors(path, [twice, twice])).rejects.toThrow('two tensors are called "x"');
    expect(readFileSync(path)).toEqual(before);
  });
});

describe("half precision", () => {
  test("every 16-bit pattern survives widening and narrowing", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, index) => index);
    for (const type of ["float16", "bfloat16"] as const) {
      const wide = new Float32Array(all.length);
      const back = new Uint16Array(all.length);
      widen(all, type, wide);
      narrow(wide, type, back);
      expect(all.filter((index) => !Number.isNaN(wide[index]) && back[index] !== index)).toEqual(new Uint16Array(0));
    }
  });

  test("narrowing rounds to the nearest, ties to even", () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, min: -70000, max: 70000 }),
        fc.constantFrom("float16", "bfloat16"),
        (x, type) => {
          const bits = new Uint16Array(1);
          narrow(Float32Array.of(x), type as "float16", bits);
          const near = new Float32Array(3);
          widen(Uint16Array.of(bits[0]! - 1, bits[0]!, bits[0]! + 1), type as "float16", near);
          const distances = [...near].map((value) => Math.abs(value - x));
          if (!Number.isFinite(near[1]!)) return Math.abs(x) >= 65520;
          const best = distances.filter((distance) => !Number.isNaN(distance));
          const isNearest = distances[1]! <= Math.min(...best);
          const isTie = best.filter((distance) => distance === distances[1]).length > 1 && distances[1]! > 0;
          return isNearest && (!isTie || bits[0]! % 2 === 0);
        },
      ),
    );
    const bits = new Uint16Array(3);
    narrow(Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65520), "float16", bits);
    expect([...bits]).toEqual([0x3c00, 0x3c02, 0x7c00]);
  });
});

describe("faulty files are refused with file and tensor name", () => {
  test.each([
    ["empty", () => writeFileSync(path, ""), "the header does not fit into the file (0 bytes)"],
    ["header cut off", () => craft({}, 0, { headerBytes: 100 }), "the header does not fit"],
    ["absurd header length", () => craft({}, 0, { headerBytes: 2 ** 52 }), "the header does not fit"],
    ["not JSON", () => craft("{nonsense", 0), "the header is not JSON"],
    [
      "truncated",
      () => craft({ w: f32([4], 0, 16) }, 10),
      'tensor "w" ends at byte 16 of the data, but the file holds',
    ],
    ["overlap", () => craft({ a: f32([2], 0, 8), w: f32([2], 4, 12) }, 12), 'tensor "w" overlaps another one'],
    ["hole", () => craft({ w: f32([1], 4, 8) }, 8), 'bytes before tensor "w" belong to no tensor'],
    ["rest", () => craft({ w: f32([1], 0, 4) }, 8), "4 bytes at the end belong to no tensor"],
    ["backwards", () => craft({ w: f32([1], 4, 0) }, 8), 'tensor "w" has invalid data_offsets [4,0]'],
    ["negative", () => craft({ w: f32([1], -4, 0) }, 8), 'tensor "w" has invalid data_offsets [-4,0]'],
    ["size and shape", () => craft({ w: f32([3], 0, 8) }, 8), 'tensor "w" has 8 bytes; F32 of shape [3] needs 12'],
    [
      "unknown dtype",
      () => craft({ w: { ...f32([2], 0, 8), dtype: "F31" } }, 8),
      'tensor "w" has the unknown dtype F31',
    ],
    ["no entry", () => craft({ w: null }, 0), 'tensor "w" needs dtype, shape and data_offsets'],
  ] as [string, () => void, string][])("%s", async (_, make, message) => {
    make();
    await expect(SafetensorsFile.open(path)).rejects.toThrow(message);
    await expect(SafetensorsFile.open(path)).rejects.toThrow(path);
  });

  test("what a reader may ask wrongly", async () => {
    craft({ w: f32([2], 0, 8), i: { dtype: "I64", shape: [1], data_offsets: [8, 16] } }, 16);
    const file = await SafetensorsFile.open(path);
    const target = new Float32Array(2);
    await expect(file.read("v", [2], target)).rejects.toThrow(`${path}: tensor "v" is missing`);
    await expect(file.read("w", [1, 2], target)).rejects.toThrow('tensor "w" has shape [2], expected [1, 2]');
    await expect(file.read("i", [1], target)).rejects.toThrow('tensor "i" has dtype I64; supported: F32, F16, BF16');
    await file.close();
    await expect(SafetensorsFile.open(join(scratch, "none"))).rejects.toThrow("none: no such file");
  });
});

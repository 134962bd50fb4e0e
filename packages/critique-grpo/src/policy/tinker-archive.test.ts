import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { paxRecord, safetensors, type TarEntry, tar } from "../testing/tar.js";
import { type UnpackLimits, unpackArchive } from "./tinker-archive.js";
import { verifyExport } from "./tinker-export.js";

const scratch = mkdtempSync(join(tmpdir(), "critique-grpo-archive-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let count = 0;

async function unpack(bytes: Buffer, limits: UnpackLimits = {}) {
  const directory = join(scratch, `${count++}`, "model");
  mkdirSync(directory, { recursive: true });
  const archive = join(directory, "..", "archive");
  writeFileSync(archive, bytes);
  return { directory, files: await unpackArchive(archive, directory, limits) };
}

const refused = (entries: readonly TarEntry[], limits: UnpackLimits = {}) =>
  expect(unpack(tar(entries), limits)).rejects;

const FILES: readonly TarEntry[] = [
  { name: "./", type: "5" },
  { name: "./config.json", content: "{}" },
  { name: "weights/", type: "5" },
  { name: "weights/a.bin", content: Buffer.alloc(1300, 7) },
  { name: "empty", content: "" },
];

describe("unpacking an archive", () => {
  it.each([
    ["plain", (bytes: Buffer) => bytes],
    ["gzip", gzipSync],
  ])("writes the files of a %s tar", async (_, pack) => {
    const { directory, files } = await unpack(pack(tar(FILES)));
    expect(files).toEqual([
      { name: "config.json", bytes: 2 },
      { name: "weights/a.bin", bytes: 1300 },
      { name: "empty", bytes: 0 },
    ]);
    expect(readFileSync(join(directory, "weights/a.bin"))).toEqual(Buffer.alloc(1300, 7));
  });

  it("takes the directory / for the archive's own root, as SkyRL means it, but no file", async () => {
    const { files } = await unpack(
      tar([
        { name: "/", type: "5" },
        { name: "a", content: "1" },
      ]),
    );
    expect(files).toEqual([{ name: "a", bytes: 1 }]);
    await refused([{ name: "/", content: "x" }]).toThrow("absolute");
  });

  it("reads long names of pax and GNU archives", async () => {
    const long = `${"d".repeat(90)}/${"e".repeat(90)}`;
    const { files } = await unpack(
      tar([
        { name: "x", type: "x", content: paxRecord("path", `${long}1`) },
        { name: "short", content: "1" },
        { name: "././@LongLink", type: "L", content: `${long}2\0` },
        { name: "short", content: "2" },
        { name: "short", content: "3" },
      ]),
    );
    expect(files.map(({ name }) => name)).toEqual([`${long}1`, `${long}2`, "short"]);
  });

  it.each(["../evil", "a/../../evil", "/etc/evil", "C:evil", "..\\evil"])(
    "refuses the name %s and writes nothing outside",
    async (name) => {
      await refused([{ name, content: "x" }]).toThrow(/leads out|absolute|backslash/);
      expect(existsSync(join(scratch, "evil"))).toBe(false);
    },
  );

  it("refuses a name that an extended header makes unsafe", async () => {
    await refused([
      { name: "x", type: "x", content: paxRecord("path", "../evil") },
      { name: "good", content: "x" },
    ]).toThrow("leads out of the directory");
  });

  it.each([
    ["2", "symbolic link"],
    ["1", "hard link"],
    ["3", "character device"],
    ["6", "pipe"],
    ["S", "type"],
  ])("refuses an entry of type %s", async (type, reason) => {
    await refused([{ name: "entry", type, link: "/etc/passwd" }]).toThrow(reason);
  });

  it("refuses a name that stands twice, too many entries and too many bytes", async () => {
    await refused([{ name: "a" }, { name: "./A" }]).toThrow("A stands twice");
    await refused([{ name: "a" }, { name: "b" }], { maxEntries: 1 }).toThrow("more than 1 entries");
    await refused([{ name: "a", content: "12345" }], { maxBytes: 4 }).toThrow("more than 4 bytes");
    await refused([{ name: "a", size: 2 ** 32 - 1 }], { maxBytes: 1000 }).toThrow("more than 1000 bytes");
  });

  it("notices what is damaged or cut off", async () => {
    const good = tar(FILES);
    const damaged = Buffer.from(good);
    damaged[3] = 1;
    await expect(unpack(damaged)).rejects.toThrow("checksum");
    await expect(unpack(good.subarray(0, 1700))).rejects.toThrow("cut off");
    await expect(unpack(tar(FILES, { end: false }))).rejects.toThrow("cut off");
    await expect(unpack(Buffer.concat([good, tar(FILES)]))).rejects.toThrow("behind the end");
    const zipped = gzipSync(good);
    await expect(unpack(zipped.subarray(0, zipped.length - 4))).rejects.toThrow();
    const wrong = Buffer.from(zipped);
    wrong[wrong.length - 6]! ^= 1;
    await expect(unpack(wrong)).rejects.toThrow(/data check/);
    await expect(unpack(Buffer.from("<html>not found</html>"))).rejects.toThrow("cut off");
  });
});

describe("verifying an export", () => {
  const verify = async (entries: readonly TarEntry[]) => {
    const { directory, files } = await unpack(tar(entries));
    return verifyExport(directory, files);
  };
  const adapter = { name: "adapter_config.json", content: "{}" };
  const weights = { name: "adapter_model.safetensors", content: safetensors([1, 2]) };

  it("tells an adapter from a model", async () => {
    expect(await verify([adapter, weights])).toBe("lora-adapter");
    const model = [
      { name: "config.json", content: "{}" },
      { name: "model.safetensors", content: safetensors([1]) },
    ];
    expect(await verify(model)).toBe("model");
  });

  it("refuses weights that are cut off or no weights at all", async () => {
    const cut = { ...weights, content: weights.content.subarray(0, -1) };
    await expect(verify([adapter, cut])).rejects.toThrow("damaged or cut off");
    await expect(verify([adapter, { ...weights, content: "no weights" }])).rejects.toThrow("no safetensors file");
    await expect(verify([adapter])).rejects.toThrow("holds no safetensors file: adapter_config.json");
    await expect(verify([weights])).rejects.toThrow("neither adapter_config.json");
  });
});

import { readFile, rename, writeFile } from "node:fs/promises";

export const BEGIN_MARK = "<!-- benchmarks: begin (written by npm run bench -- --markdown) -->";
export const END_MARK = "<!-- benchmarks: end -->";

/** The document with its generated part replaced; the table is appended where the marks are missing. */
export function replaceGenerated(document: string, generated: string): string {
  const block = `${BEGIN_MARK}\n\n${generated.trimEnd()}\n\n${END_MARK}`;
  const begin = document.indexOf(BEGIN_MARK);
  const end = document.indexOf(END_MARK);
  if (begin < 0 || end < begin) return `${document.trimEnd()}\n\n${block}\n`.trimStart();
  return document.slice(0, begin) + block + document.slice(end + END_MARK.length);
}

/** Writes the generated part into the file; the rest of the file, written by people, stays. */
export async function writeGenerated(path: string, generated: string): Promise<void> {
  const document = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "# Benchmarks\n";
    throw error;
  });
  await writeFile(`${path}.tmp`, replaceGenerated(document, generated));
  await rename(`${path}.tmp`, path);
}

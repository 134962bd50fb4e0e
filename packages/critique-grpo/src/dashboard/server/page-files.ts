/** The built page, held in memory: a request can name a file that is in here, and nothing else. */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { pageDirectory } from "@critique-grpo/dashboard";
import { InputError } from "../../config/errors.js";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/** By path, "index.html" and "assets/…". @throws InputError if the page has not been built. */
export function loadPage(directory = pageDirectory): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const entry of listing(directory)) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1).replaceAll("\\", "/"), { type, bytes: readFileSync(path) });
  }
  if (!files.has("index.html")) throw new InputError(`${directory} holds no page; build it with: npm run build`);
  return files;
}

function listing(directory: string) {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true });
  } catch {
    return [];
  }
}

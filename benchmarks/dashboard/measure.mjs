/**
 * Time and memory of the dashboard on a large run directory:
 *   node benchmarks/dashboard/measure.mjs [--gigabytes 5] [--steps 10000] [--directory DIR] [--keep]
 * Makes the directory under the system's temporary directory (make-run.mjs), starts the server in a process of its own,
 * opens the overview in Chromium, indexes all rollouts, and prints what it took. Needs `npm run build`. Linux.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { hasBrowser, launchBrowser } from "@critique-grpo/dashboard/testing";

const { values } = parseArgs({
  options: {
    gigabytes: { type: "string", default: "5" },
    steps: { type: "string", default: "10000" },
    directory: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const here = import.meta.dirname;
const parent = values.directory ?? mkdtempSync(join(tmpdir(), "dashboard-benchmark-"));
const made = join(parent, "large");
const { bavail, bsize } = statfsSync(parent);
const needed = (Number(values.gigabytes) + 2) * 2 ** 30;
if (!existsSync(made) && bavail * bsize < needed) {
  throw new Error(
    `${parent} has ${((bavail * bsize) / 2 ** 30).toFixed(1)} GiB free; ${(needed / 2 ** 30).toFixed(1)} are needed`,
  );
}

const program = resolve(here, "../../packages/critique-grpo/bin/critique-grpo.mjs");
let server;
let browser;
try {
  if (!existsSync(made)) {
    execFileSync(
      process.execPath,
      [join(here, "make-run.mjs"), made, "--steps", values.steps, "--gigabytes", values.gigabytes],
      { stdio: "inherit" },
    );
  }
  server = spawn(process.execPath, [program, "dashboard", parent], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((found, fail) => {
    server.stdout.on("data", (chunk) => {
      const match = /http:\/\/\S+/.exec(String(chunk));
      if (match) found(match[0]);
    });
    server.on("exit", (code) => fail(new Error(`the server ended with ${code}`)));
  });
  const get = async (path) => (await fetch(`${url}api/${path}`)).json();
  const report = (what, value) => console.log(`${what.padEnd(58)} ${value}`);
  const megabytes = (name) =>
    Math.round(
      Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]) / 1024,
    );
  const timed = async (action) => {
    const start = performance.now();
    await action();
    return `${((performance.now() - start) / 1000).toFixed(2)} s`;
  };

  report("server, resident after start", `${megabytes("VmRSS")} MiB`);
  if (hasBrowser) {
    browser = await launchBrowser();
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
    // An empty tab first: the start of the browser is not the page's.
    await page.goto("about:blank");
    const drawn = async () => {
      await page.goto(`${url}#/run/large`);
      await page.waitForSelector(".chart path.line[d]:not([d=''])", { state: "attached" });
    };
    report("overview in the browser, first time (reads metrics.jsonl)", await timed(drawn));
    const again = async () => {
      await page.goto("about:blank");
      await drawn();
    };
    report("overview in the browser, again", await timed(again));
    const frames = await page.evaluate(async () => {
      const main = document.querySelector("main");
      const times = [];
      for (let i = 0; i < 60; i++) {
        const start = performance.now();
        main.scrollTop = (i * 40) % main.scrollHeight;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - start);
      }
      return times.sort((a, b) => a - b);
    });
    report(
      "scrolling the overview, frame: median, longest",
      `${frames[30].toFixed(0)} ms, ${frames[59].toFixed(0)} ms`,
    );
  }
  report("groups of the last step, before any index", await timed(() => get(`runs/large/groups?step=${values.steps}`)));
  let slowest = 0;
  const indexing = await timed(async () => {
    for (;;) {
      const start = performance.now();
      const { index } = await get("runs/large/groups?limit=1");
      slowest = Math.max(slowest, performance.now() - start);
      if (index.done) return;
      await new Promise((wait) => setTimeout(wait, 250));
    }
  });
  report("index of all rollouts, in the background", indexing);
  report("slowest answer meanwhile", `${slowest.toFixed(0)} ms`);
  report("server, largest resident size", `${megabytes("VmHWM")} MiB`);
  report(
    "all steps, filtered: fixed and all wrong",
    await timed(() => get("runs/large/groups?flag=fixed&flag=all-wrong")),
  );
  report("problems, hardest first", await timed(() => get("runs/large/problems")));
  report("critiques", await timed(() => get("runs/large/critiques")));
} finally {
  await browser?.close();
  server?.kill("SIGTERM");
  if (!values.keep && values.directory === undefined) rmSync(parent, { recursive: true, force: true });
}

/** Debian's Chromium for tests of pages; they are skipped where there is none. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

export const hasBrowser = existsSync(EXECUTABLE);

/** Why a test was skipped, for its title. */
export const withoutBrowser = hasBrowser ? "" : ` (skipped: no ${EXECUTABLE}; apt-get install chromium)`;

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    // Tests may run as root; without the others the browser looks for its maker's hosts.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

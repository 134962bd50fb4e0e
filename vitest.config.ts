import { defineConfig } from "vitest/config";

export default defineConfig({
  // Workspace packages resolve to their TypeScript sources, so a test never sees a stale build.
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "examples/*/src/**/*.test.ts",
      "benchmarks/**/*.test.ts",
      "study/src/**/*.test.ts",
    ],
    setupFiles: ["./vitest.setup.ts"],
    // The engine uses every core itself: files run one after another on small machines.
    pool: "forks",
    maxWorkers: 2,
    // .ci/run reads the counts from the file.
    reporters: process.env.CI ? ["default", ["json", { outputFile: "coverage/test-results.json" }]] : ["default"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

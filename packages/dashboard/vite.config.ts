import { defineConfig, type Plugin } from "vite";

export default defineConfig({
  root: "src/page",
  // The page lies below a token that is not known when it is built.
  base: "./",
  plugins: [woff2Only()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../../dist/page",
    emptyOutDir: true,
    // Everything is a file: the content security policy allows no data: address.
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  logLevel: "warn",
});

/** KaTeX names each font in two older formats as well, for browsers that do not run this page. */
function woff2Only(): Plugin {
  return {
    name: "woff2-only",
    enforce: "pre",
    transform(code, id) {
      return id.includes("katex") && id.endsWith(".css")
        ? code.replaceAll(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\("(?:woff|truetype)"\)/g, "")
        : null;
    },
  };
}

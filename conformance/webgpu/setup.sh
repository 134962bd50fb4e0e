#!/usr/bin/env bash
# Unpacks SwiftShader, a Vulkan driver that computes on the CPU, and a Vulkan loader into .venv/swiftshader: the WebGPU
# provider then runs without a GPU (Linux x64). They are taken out of an npm package that carries them for headless
# Chromium (68 MB, downloaded once, not installed). Does nothing where they are there.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
directory="$root/.venv/swiftshader"
if [ -f "$directory/libvk_swiftshader.so" ]; then exit 0; fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --silent @sparticuz/chromium@147.0.0 >/dev/null)
tar -xzf "$scratch"/*.tgz -C "$scratch" package/bin/swiftshader.tar.br
node -e '
  const { readFileSync, writeFileSync } = require("node:fs");
  const { brotliDecompressSync } = require("node:zlib");
  writeFileSync(process.argv[2], brotliDecompressSync(readFileSync(process.argv[1])));
' "$scratch/package/bin/swiftshader.tar.br" "$scratch/swiftshader.tar"
mkdir -p "$directory"
tar -xf "$scratch/swiftshader.tar" -C "$directory" libvulkan.so.1 vk_swiftshader_icd.json libvk_swiftshader.so

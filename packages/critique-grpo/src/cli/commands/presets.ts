import type { Command } from "commander";
import { stringify } from "yaml";
import { InputError } from "../../config/errors.js";
import { didYouMean } from "../../config/nearest.js";
import { type PresetName, presetDescriptions, presets } from "../../config/presets.js";
import { type CliIo, EXIT } from "../io.js";
import { newCommand } from "./common.js";

export function presetsCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("presets", "list the presets, or print the keys that one sets")
    .argument("[name]", "print this preset as YAML")
    .addHelpText("after", "\nUse one with `preset: critique-grpo` in the YAML or --preset; your own keys win over it.")
    .action((name: string | undefined) => {
      io.stdout.write(name === undefined ? listPresets() : showPreset(name));
      finish(EXIT.ok);
    });
}

function listPresets(): string {
  const entries = Object.entries(presetDescriptions);
  const widest = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, text]) => `${name.padEnd(widest)}  ${text}\n`).join("");
}

function showPreset(name: string): string {
  if (!Object.hasOwn(presets, name)) {
    const known = Object.keys(presets);
    throw new InputError(`unknown preset "${name}"; there are ${known.join(", ")}${didYouMean(name, known)}`);
  }
  return `# ${presetDescriptions[name as PresetName]}\n${stringify(presets[name as PresetName])}`;
}

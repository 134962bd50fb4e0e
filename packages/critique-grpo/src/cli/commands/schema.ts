import type { Command } from "commander";
import { z } from "zod";
import { configurationReference } from "../../config/reference.js";
import { runSchema } from "../../config/schema.js";
import { sftSchema } from "../../config/sft-schema.js";
import { type CliIo, EXIT } from "../io.js";
import { newCommand } from "./common.js";

const EXAMPLES = `
Examples:
  critique-grpo schema > critique-grpo.schema.json
  critique-grpo schema --markdown > docs/configuration.md

Editors with the YAML language server check and complete a file that starts with
  # yaml-language-server: $schema=critique-grpo.schema.json`;

export function schemaCommand(io: CliIo, finish: (code: number) => void): Command {
  return newCommand("schema", "print the configuration schema: JSON Schema for editors, or the reference")
    .option("--sft", "the schema of `critique-grpo sft` (default: of `train`)")
    .option("--markdown", "print docs/configuration.md (both schemas and the presets)")
    .addHelpText("after", EXAMPLES)
    .action((options: { sft?: boolean; markdown?: boolean }) => {
      const schema = options.sft ? sftSchema : runSchema;
      const json = () => `${JSON.stringify(z.toJSONSchema(schema, { io: "input" }), null, 2)}\n`;
      io.stdout.write(options.markdown ? configurationReference() : json());
      finish(EXIT.ok);
    });
}

/** docs/configuration.md, written from the schema: types, defaults and meanings cannot drift from the code. */
import { stringify } from "yaml";
import { z } from "zod";
import { pathKinds } from "./path-kinds.js";
import { presetDescriptions, presets } from "./presets.js";
import { runSchema } from "./schema.js";
import { alternatives, unwrap } from "./schema-walk.js";
import { sftSchema } from "./sft-schema.js";

type Schema = z.core.$ZodType;

const HEAD = `# Configuration

<!-- Written by \`npx critique-grpo schema --markdown > docs/configuration.md\`; a test keeps it up to date. -->

A run is one YAML file. What it leaves out comes from its \`preset\`, then from the defaults below; \`--set key=value\` on the
command line wins over both (\`--set sampling.temperature=0.8\`, \`--set reward.functions.0.weight=2\`, lists and mappings as
JSON or YAML). Paths are relative to the YAML file, in \`--set\` as well. Unknown keys are refused.
\`critique-grpo train run.yaml --dry-run\` checks everything and prints the resolved configuration.
\`critique-grpo schema\` prints a JSON Schema for editors.
`;

/** The whole reference as Markdown. */
export function configurationReference(): string {
  const presetSections = Object.entries(presetDescriptions).map(
    ([name, text]) =>
      `### ${name}\n\n${text}.\n\n\`\`\`yaml\n${stringify(presets[name as keyof typeof presets])}\`\`\`\n`,
  );
  return [
    HEAD,
    "## Training: `critique-grpo train`\n",
    ...objectSections(runSchema, ""),
    "## Presets\n",
    ...presetSections,
    "## Supervised fine-tuning: `critique-grpo sft`\n",
    ...objectSections(sftSchema, ""),
  ].join("\n");
}

/** A table for an object's keys, then a section for each key that is an object itself. */
function objectSections(schema: Schema, prefix: string): string[] {
  const rows: string[] = [];
  const nested: { name: string; schema: Schema }[] = [];
  for (const [key, child] of Object.entries(shape(schema))) {
    const name = prefix === "" ? key : `${prefix}.${key}`;
    rows.push(`| \`${name}\` | ${typeOf(child)} | ${defaultOf(child)} | ${escapeCell(descriptionOf(child))} |`);
    nested.push(...nestedObjects(child, name));
  }
  const table = ["| key | type | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
  return [
    `${table}\n`,
    ...nested.flatMap(({ name, schema: child }) => [`### ${name}\n`, ...objectSections(child, nameIn(name))]),
  ];
}

/** `reward.functions[]` has keys `reward.functions[].name`; an alternative's title is not part of its keys. */
function nameIn(title: string): string {
  return title.replace(/ with `.*$/, "").replaceAll("`", "");
}

function nestedObjects(schema: Schema, name: string): { name: string; schema: Schema }[] {
  const options = alternatives(schema);
  const objects = options.filter((option) => def(option).type === "object");
  const arrays = options.flatMap((option) => {
    const inner = def(option);
    return inner.type === "array" ? nestedObjects(inner.element, `${name}[]`) : [];
  });
  if (objects.length <= 1) return [...objects.map((object) => ({ name, schema: object })), ...arrays];
  // Of alternatives, those with nothing but their type are told by the type column.
  const told = objects.filter((object) => Object.keys(shape(object)).length > 1);
  return [...told.map((object) => ({ name: `${name} with \`type: ${typeName(object)}\``, schema: object })), ...arrays];
}

function typeOf(schema: Schema): string {
  const inner = def(schema);
  switch (inner.type) {
    case "optional":
    case "default":
    case "prefault":
      return typeOf(inner.innerType);
    case "nullable":
      return `${typeOf(inner.innerType)} or null`;
    case "union":
      return inner.options.map(typeOf).join(" or ");
    case "enum":
      return Object.values(inner.entries)
        .map((value) => `\`${String(value)}\``)
        .join(", ");
    case "literal":
      return inner.values.map((value) => `\`${String(value)}\``).join(", ");
    case "array":
      return `list of ${typeOf(inner.element)}`;
    case "number":
      return `${"format" in inner ? "whole number" : "number"}${range(schema)}`;
    case "string":
      return pathKinds.has(unwrap(schema)) ? "path" : "text";
    case "boolean":
      return "true, false";
    case "object":
      return typeName(schema) === "" ? "mapping" : `{type: ${typeName(schema)}}`;
    case "record":
      return "mapping";
    default:
      return inner.type;
  }
}

/** ≥ and > bounds as zod's JSON Schema tells them. */
function range(schema: Schema): string {
  const json = z.toJSONSchema(schema as z.ZodType, { io: "input" });
  const limits = [
    ["≥", json.minimum],
    [">", json.exclusiveMinimum],
    ["≤", json.maximum],
    ["<", json.exclusiveMaximum],
  ] as const;
  const told = limits.filter(([, limit]) => limit !== undefined && Math.abs(Number(limit)) < Number.MAX_SAFE_INTEGER);
  return told.length === 0 ? "" : ` ${told.map(([sign, limit]) => `${sign} ${limit}`).join(", ")}`;
}

function defaultOf(schema: Schema): string {
  const inner = def(schema);
  switch (inner.type) {
    case "default":
      return `\`${JSON.stringify(inner.defaultValue)}\``;
    case "prefault":
      return "";
    case "optional":
      return "–";
    default:
      return "**required**";
  }
}

/** The description of the key itself, else of what it wraps, else of the alternatives. */
function descriptionOf(schema: Schema): string {
  const own = z.globalRegistry.get(schema)?.description ?? z.globalRegistry.get(unwrap(schema))?.description;
  const told = alternatives(schema).flatMap((option) => {
    const text = option === unwrap(schema) ? undefined : z.globalRegistry.get(option)?.description;
    if (text === undefined) return [];
    return typeName(option) === "" ? [] : [`${typeName(option)}: ${text}`];
  });
  return [own ?? "", ...(told.length > 0 ? [`(${told.join("; ")})`] : [])].join(" ").trim();
}

function typeName(schema: Schema): string {
  const type = shape(schema).type;
  const inner = type && def(type);
  return inner?.type === "literal" ? String(inner.values[0]) : "";
}

function shape(schema: Schema): Readonly<Record<string, Schema>> {
  const inner = def(unwrap(schema));
  return inner.type === "object" ? inner.shape : {};
}

function def(schema: Schema) {
  return (schema as z.core.$ZodTypes)._zod.def;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

/** From a YAML file, a preset and `--set` to a checked configuration; every problem says where it stands. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { ConfigError, type ConfigProblem, InputError } from "./errors.js";
import { describeIssues } from "./issues.js";
import { isRecord, merge, setAt } from "./merge.js";
import { didYouMean } from "./nearest.js";
import { type Override, parseOverride } from "./override.js";
import type { PathKind } from "./path-kinds.js";
import { findPaths } from "./schema-walk.js";

/** Named defaults: what the YAML leaves out is taken from here. */
export type Presets = Readonly<Record<string, unknown>>;

export interface ConfigSource {
  /** The YAML file as the user named it. */
  readonly file: string;
  /** `key.path=value`, as after `--set`; later ones win, and all win over the YAML. */
  readonly overrides?: readonly string[];
  readonly presets?: Presets;
  /** Data and directories that do not exist are listed, not refused: for a dry run away from them. Default false. */
  readonly allowMissing?: boolean;
}

export interface ConfigKind<S extends z.ZodObject> {
  readonly schema: S;
  /** Rules between keys. Paths are resolved by then. */
  readonly check?: (config: z.output<S>) => readonly ConfigProblem[];
}

export interface LoadedConfig<T> {
  readonly config: T;
  /** Absolute path of the YAML file. */
  readonly file: string;
  /** What does not exist, where that was allowed. */
  readonly missing: readonly ConfigProblem[];
}

/**
 * Reads, merges (preset, then YAML, then `--set`), validates, resolves paths relative to the YAML file and checks that
 * they exist. Throws InputError if the file cannot be read and ConfigError with every problem otherwise.
 */
export function loadConfig<S extends z.ZodObject>(
  kind: ConfigKind<S>,
  source: ConfigSource,
): LoadedConfig<z.output<S>> {
  const file = resolve(source.file);
  const document = parseYamlFile(source.file);
  const written = document.value ?? {};
  if (!isRecord(written)) {
    throw new ConfigError([{ path: [], location: source.file, message: "must hold a mapping of keys to values" }]);
  }
  const overrides = (source.overrides ?? []).map((text) => parseOverride(kind.schema, text));
  const locate = locator(source.file, document, overrides);

  const upper = overrides.reduce<unknown>((value, o) => setAt(value, o.path, o.value), written) as Record<
    string,
    unknown
  >;
  const preset = choosePreset(upper, source.presets, locate);
  const { config, missing } = validate(kind, merge(preset, upper), dirname(file), locate, source.allowMissing);
  return { config, file, missing };
}

/** The same for a configuration written in code: paths are relative to `directory`. */
export function resolveConfig<S extends z.ZodObject>(
  kind: ConfigKind<S>,
  input: z.input<S>,
  options: { readonly directory: string; readonly presets?: Presets },
): z.output<S> {
  const written = input as Record<string, unknown>;
  const preset = choosePreset(written, options.presets, () => undefined);
  return validate(kind, merge(preset, written), options.directory, () => undefined).config;
}

type Locate = (path: readonly (string | number)[]) => string | undefined;

function validate<S extends z.ZodObject>(
  kind: ConfigKind<S>,
  input: unknown,
  directory: string,
  locate: Locate,
  allowMissing = false,
): { config: z.output<S>; missing: readonly ConfigProblem[] } {
  const located = (problems: readonly ConfigProblem[]) =>
    problems.map((problem) => {
      const location = problem.location ?? locate(problem.path);
      return location === undefined ? problem : { ...problem, location };
    });
  const result = kind.schema.safeParse(input);
  if (!result.success) throw new ConfigError(located(describeIssues(kind.schema, input, result.error.issues)));

  let config: unknown = result.data;
  const problems: ConfigProblem[] = [];
  const missing: ConfigProblem[] = [];
  for (const { path, value, kind: pathKind } of findPaths(kind.schema, config)) {
    const absolute = resolve(directory, value);
    config = setAt(config, path, absolute);
    const message = pathProblem(absolute, pathKind);
    if (message === undefined) continue;
    const tolerated = allowMissing && pathKind !== "module" && !existsSync(absolute);
    (tolerated ? missing : problems).push({ path, message });
  }
  problems.push(...(kind.check?.(config as z.output<S>) ?? []));
  if (problems.length > 0) throw new ConfigError(located(problems));
  return { config: config as z.output<S>, missing: located(missing) };
}

function pathProblem(absolute: string, kind: PathKind): string | undefined {
  const status = statSync(absolute, { throwIfNoEntry: false });
  switch (kind) {
    case "file":
    case "module":
      if (!status) return `no such file: ${absolute}`;
      return status.isFile() ? undefined : `must be a file, but ${absolute} is a directory`;
    case "directory":
      if (!status) return `no such directory: ${absolute}`;
      return status.isDirectory() ? undefined : `must be a directory, but ${absolute} is a file`;
    case "output":
      return status && !status.isDirectory() ? `must be a directory, but ${absolute} is a file` : undefined;
    default:
      throw new RangeError(`unknown path kind ${String(kind satisfies never)}`);
  }
}

function choosePreset(written: Record<string, unknown>, presets: Presets | undefined, locate: Locate): unknown {
  const name = written.preset;
  if (presets === undefined || name === undefined) return {};
  if (typeof name === "string" && Object.hasOwn(presets, name)) return presets[name];
  const known = Object.keys(presets);
  const location = locate(["preset"]);
  throw new ConfigError([
    {
      path: ["preset"],
      message: `must be one of ${known.join(", ")} (is ${JSON.stringify(name)})${didYouMean(String(name), known)}`,
      ...(location === undefined ? {} : { location }),
    },
  ]);
}

interface ParsedYaml {
  readonly document: Document.Parsed;
  readonly value: unknown;
  readonly lines: LineCounter;
}

function parseYamlFile(file: string): ParsedYaml {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") throw new InputError(`${file}: no such configuration file`);
    if (code === "EISDIR") throw new InputError(`${file}: is a directory; name the YAML file in it`);
    throw new InputError(`${file}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return { path: [], location: `${file}:${line}:${col}`, message: `not valid YAML: ${error.message}` };
      }),
    );
  }
  return { document, value: document.toJS({ maxAliasCount: 100 }), lines };
}

/** Where a key's value comes from: the last `--set` that covers it, else its line in the YAML, else nearest above. */
function locator(file: string, yaml: ParsedYaml, overrides: readonly Override[]): Locate {
  const covers = (over: Override, path: readonly (string | number)[]) =>
    over.path.length <= path.length && over.path.every((key, i) => String(key) === String(path[i]));
  return (path) => {
    const override = overrides.findLast((candidate) => covers(candidate, path));
    if (override) return `--set ${override.text}`;
    for (let depth = path.length; depth >= 1; depth--) {
      const offset = keyOffset(yaml.document, path.slice(0, depth));
      if (offset === undefined) continue;
      const { line, col } = yaml.lines.linePos(offset);
      return `${file}:${line}:${col}`;
    }
    return file;
  };
}

function keyOffset(document: Document.Parsed, path: readonly (string | number)[]): number | undefined {
  const parent = document.getIn(path.slice(0, -1), true);
  const key = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
    return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
  }
  const node = document.getIn(path, true);
  return isNode(node) ? (node.range?.[0] ?? undefined) : undefined;
}

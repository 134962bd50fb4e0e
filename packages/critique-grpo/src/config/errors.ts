/**
 * Something the user gave is wrong, and it was found before the first expensive step. The message is complete: what,
 * where, and what would be right. The CLI prints it without a stack and exits with 2.
 */
export class InputError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** Keys from the root, e.g. ["sampling", "temperature"]. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** Where the value comes from: `file:line:column`, `--set key`, `preset name`. */
  readonly location?: string;
}

/** Every problem of a configuration at once, a line each. */
export class ConfigError extends InputError {
  constructor(readonly problems: readonly ConfigProblem[]) {
    super(problems.map(describeProblem).join("\n"));
  }
}

function describeProblem(problem: ConfigProblem): string {
  const key = formatPath(problem.path);
  return [problem.location, key, problem.message].filter((part) => part !== undefined && part !== "").join(": ");
}

/** `reward.functions[0].weight`. */
export function formatPath(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`),
    "",
  );
}

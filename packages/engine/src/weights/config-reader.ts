/** Typed access to the keys of one JSON object, with errors that name file, key, value and what would be right. */
export class ConfigReader {
  readonly json: Readonly<Record<string, unknown>>;
  readonly #source: string;
  readonly #prefix: string;

  constructor(json: unknown, source: string, prefix = "") {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new Error(`${source}${prefix === "" ? "" : `: ${prefix.slice(0, -1)}`}: expected a JSON object`);
    }
    this.json = json as Readonly<Record<string, unknown>>;
    this.#source = source;
    this.#prefix = prefix;
  }

  /** The value of a key; undefined if it is absent or null. */
  get(key: string): unknown {
    return this.json[key] ?? undefined;
  }

  /** A nested object; undefined if it is absent or null. */
  object(key: string): ConfigReader | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : new ConfigReader(value, this.#source, `${this.#prefix}${key}.`);
  }

  /** A whole number of at least 1. */
  size(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
    return this.fail(key, "a whole number of at least 1");
  }

  positive(key: string, fallback?: number): number {
    const value = this.get(key) ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return this.fail(key, "a number above 0");
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.get(key) ?? fallback;
    return typeof value === "boolean" ? value : this.fail(key, "true or false");
  }

  /** One token id, a list of them, or none. */
  tokenIds(key: string): readonly number[] {
    const value = this.get(key) ?? [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    const isId = (id: unknown): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
    return ids.every(isId) ? ids : this.fail(key, "a token id or a list of token ids");
  }

  fail(key: string, expected: string): never {
    const value = this.json[key];
    const found = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
    throw new Error(`${this.#source}: ${this.#prefix}${key} ${found}; supported: ${expected}`);
  }
}

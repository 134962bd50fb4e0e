/** One row of a data set, as the whole product sees it. */

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface Question {
  /** Unique in its data set and stable between runs: from the data, else `<source>#<row>`. */
  readonly id: string;
  /** verl's `data_source`, for per-source metrics and reward choice. */
  readonly dataSource: string;
  /** The question without chat markup: what critique and refinement prompts quote. */
  readonly text: string;
  /** What the policy is asked: rendered through the chat template; or one plain string that is encoded as it is. */
  readonly prompt: readonly ChatMessage[] | string;
  /** Gold answer; empty only if the reward does not need one. */
  readonly gold: string;
  /** Reference solution (verl's `target`), for critiques against it and for expert (LUFFY-style) responses. */
  readonly solution?: string;
  /** Other columns of the row, for user rewards and critics. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Critiques of a step: asked for when they are needed, or earlier where the critic works elsewhere meanwhile. */
import type { CritiqueRequest } from "../feedback/critique/critic.js";
import type { Critique, InitialResponse } from "./records.js";
import { type QuestionRollout, type RolloutContext, seedOf } from "./sampling.js";

/** One response that is to be refined. */
export interface RefinementTask {
  readonly rollout: QuestionRollout;
  /** Which initial response is refined. */
  readonly index: number;
}

/** What is asked of a response depends on nothing but the response, so asking early changes no critique. */
export class CritiqueQueue {
  readonly #context: RolloutContext;
  readonly #asked = new Map<InitialResponse, Promise<Critique>>();

  constructor(context: RolloutContext) {
    this.#context = context;
  }

  /** Rounds that the critic wants to be asked ahead. */
  get ahead(): number {
    return this.#context.critic?.ahead ?? 0;
  }

  /** Asks for critiques that have not been asked for; `take` brings what goes wrong. */
  ask(tasks: readonly RefinementTask[]): void {
    const { critic, signal } = this.#context;
    if (critic === null) throw new Error("critiques are wanted but there is no critic: set critique.type");
    const open = tasks.filter((task) => !this.#asked.has(responseOf(task)));
    if (open.length === 0) return;
    const requests = open.map(
      (task): CritiqueRequest => ({
        question: task.rollout.question,
        response: responseOf(task),
        seed: seedOf(task.rollout, this.#context, "critique", task.index),
      }),
    );
    const written = critic.critique(requests, signal ? { signal } : {}).then((critiques) => {
      if (critiques.length === open.length) return critiques;
      throw new Error(`The critic returned ${critiques.length} critiques for ${open.length} responses`);
    });
    for (const [i, task] of open.entries()) {
      const critique = written.then((critiques) => critiques[i]!);
      // Nobody may take it: then its error is no one's.
      critique.catch(() => {});
      this.#asked.set(responseOf(task), critique);
    }
  }

  /** The critiques of these tasks, which leave the queue. */
  take(tasks: readonly RefinementTask[]): Promise<readonly Critique[]> {
    return this.#context.stopwatch.time("critique", () => {
      this.ask(tasks);
      const critiques = tasks.map((task) => this.#asked.get(responseOf(task))!);
      for (const task of tasks) this.#asked.delete(responseOf(task));
      return Promise.all(critiques);
    });
  }

  /** The critiques that were asked for and never taken, by response. */
  async rest(): Promise<ReadonlyMap<InitialResponse, Critique>> {
    const left = [...this.#asked];
    if (left.length === 0) return new Map();
    return this.#context.stopwatch.time(
      "critique",
      async () =>
        new Map(await Promise.all(left.map(async ([response, critique]) => [response, await critique] as const))),
    );
  }
}

function responseOf({ rollout, index }: RefinementTask): InitialResponse {
  return rollout.initial[index]!;
}

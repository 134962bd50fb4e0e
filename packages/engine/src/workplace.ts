import { CallQueue } from "./call-queue.js";
import { Generator } from "./generation/index.js";
import { AdamW, type AdamWState, createAdamWState, Trainer } from "./training/index.js";
import type { LoadOptions } from "./types.js";
import type { LoadedModel, ParameterStore } from "./weights/index.js";

/**
 * Trainer, generator and optimizer, and the numbers that they work on. Models whose adapters have one shape, over the same
 * weights, share a workplace: they take turns, and the numbers of those whose turn it is not are kept aside. Whoever
 * works twice in a row finds everything in place.
 */
export class Workplace {
  readonly trainer: Trainer;
  readonly generator: Generator;
  private readonly queue = new CallQueue();
  /** Made at the first optimizer step: a model that is only sampled needs no moments. */
  private optimizer: AdamW | undefined;
  private readonly users = new Map<object, NumbersAside | undefined>();
  private present: object | undefined;
  /** Users that have not left. */
  private staying = 0;

  /** @param model with the numbers of the first user in it */
  constructor(
    readonly model: LoadedModel,
    contextLength: number,
    private readonly options: LoadOptions,
  ) {
    const { config, parameters, adapter } = model;
    this.trainer = new Trainer(config, parameters, { ...options, adapter });
    this.generator = new Generator(config, parameters, { ...options, contextLength, adapter });
  }

  /** What the optimizer changes: for a task of `run`, the numbers of whoever runs it. */
  get trained(): ParameterStore {
    return this.model.adapter?.parameters ?? this.model.parameters;
  }

  get adamW(): AdamW {
    this.optimizer ??= new AdamW(this.trained, createAdamWState(this.trained), this.options.threads);
    return this.optimizer;
  }

  /** @param weights of a user that comes to others: in the layout of `trained`; this array is kept and written to. */
  join(user: object, weights?: Float32Array): void {
    this.staying++;
    this.users.set(user, weights && new NumbersAside(weights));
    if (!weights) this.present = user;
  }

  /** Runs a task when those before it have ended, with the user's numbers in place. */
  run<T>(user: object, task: () => Promise<T>): Promise<T> {
    return this.queue.run(async () => {
      this.takePlace(user);
      return task();
    });
  }

  /** Waits for its turn and keeps it until the returned function is called. */
  async enter(user: object): Promise<() => void> {
    const leave = await this.queue.enter();
    try {
      this.takePlace(user);
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Whether the user's numbers are in place and stay there. */
  isAlone(user: object): boolean {
    return this.present === user && this.users.size === 1;
  }

  /** Everybody has left; nobody can join any more. */
  get isAbandoned(): boolean {
    return this.staying === 0;
  }

  /** Behind the user's last task; when everybody has left, everything is closed. */
  leave(user: object): Promise<void> {
    this.staying--;
    return this.queue.run(async () => {
      this.users.delete(user);
      if (this.present === user) this.present = undefined;
      if (this.users.size > 0) return;
      this.trainer.close();
      this.generator.close();
      this.optimizer?.close();
    });
  }

  private takePlace(user: object): void {
    const { present, trained } = this;
    if (present === user) return;
    if (present) {
      const aside = this.users.get(present) ?? new NumbersAside(new Float32Array(trained.data.length));
      aside.take(trained, this.optimizer?.state);
      this.users.set(present, aside);
      this.present = undefined;
    }
    this.users.get(user)?.putBack(trained, this.optimizer?.state);
    this.present = user;
  }
}

/** What training has made of an adapter. Gradients and moments take memory only where there are any. */
class NumbersAside {
  private gradients: Float32Array | undefined;
  private moments: AdamWState | undefined;

  constructor(private readonly weights: Float32Array) {}

  /** @param state of the optimizer, if there is one yet */
  take({ data, gradients }: ParameterStore, state: AdamWState | undefined): void {
    this.weights.set(data);
    this.gradients = isZero(gradients) ? undefined : gradients.slice();
    if (!state || state.step === 0) {
      this.moments = undefined;
      return;
    }
    this.moments ??= {
      firstMoment: new Float32Array(data.length),
      secondMoment: new Float32Array(data.length),
      step: 0,
    };
    copyMoments(state, this.moments);
  }

  putBack({ data, gradients }: ParameterStore, state: AdamWState | undefined): void {
    data.set(this.weights);
    if (this.gradients) gradients.set(this.gradients);
    else gradients.fill(0);
    this.gradients = undefined;
    if (!state) return;
    if (this.moments) copyMoments(this.moments, state);
    else {
      state.firstMoment.fill(0);
      state.secondMoment.fill(0);
      state.step = 0;
    }
  }
}

function isZero(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index++) if (values[index] !== 0) return false;
  return true;
}

function copyMoments(from: AdamWState, to: AdamWState): void {
  to.firstMoment.set(from.firstMoment);
  to.secondMoment.set(from.secondMoment);
  to.step = from.step;
}

/** From datums as the protocol has them to sequences as the engine computes them, and back. */
import type { ForwardBackwardResult, ModelInfo, TokenLogprobs, TokenSequence } from "@critique-grpo/engine";
import {
  type Datum,
  type ForwardBackwardOutput,
  type ForwardBackwardRequest,
  float32Tensor,
  inputTokens,
  type TensorData,
  tokenLosses,
} from "@critique-grpo/tinker";
import { BadRequest } from "../../http/errors.js";

/** The loss inputs of each loss besides target_tokens, and the keys of its configuration. */
const LOSSES: Readonly<Record<string, { readonly inputs: readonly string[]; readonly config: readonly string[] }>> = {
  cross_entropy: { inputs: ["weights"], config: [] },
  importance_sampling: { inputs: ["logprobs", "advantages"], config: [] },
  ppo: { inputs: ["logprobs", "advantages"], config: ["clip_low_threshold", "clip_high_threshold"] },
  cispo: { inputs: ["logprobs", "advantages"], config: ["clip_low_threshold", "clip_high_threshold"] },
  dro: { inputs: ["logprobs", "advantages"], config: ["beta"] },
};

type Inputs = Readonly<Record<string, TensorData>>;

/**
 * A sequence of the engine and the positions of a datum that it computes. Usually one for each datum. A target that is
 * not the next input token (and carries loss) has one of its own, whose response is that target alone.
 */
export interface DatumSequence extends TokenSequence {
  readonly datum: number;
  /** Position of the first response token among the datum's targets. */
  readonly offset: number;
  /** Response tokens that belong to another sequence, or to none. */
  readonly skipped: ReadonlySet<number>;
}

interface CheckedDatum {
  readonly input: readonly number[];
  readonly targets: readonly number[];
  readonly inputs: Inputs;
}

/** Sums token losses over tokens and datums, as the hosted service does. Throws BadRequest that names the datum. */
export class DatumBatch {
  readonly sequences: readonly DatumSequence[];
  readonly #data: readonly CheckedDatum[];
  readonly #request: ForwardBackwardRequest;

  constructor(request: ForwardBackwardRequest, info: ModelInfo) {
    this.#request = request;
    const loss = Object.hasOwn(LOSSES, request.lossFn) ? LOSSES[request.lossFn] : undefined;
    if (loss === undefined)
      throw new BadRequest(`loss_fn "${request.lossFn}" is not known; there are ${Object.keys(LOSSES).join(", ")}`);
    for (const key of Object.keys(request.lossFnConfig ?? {})) {
      if (!loss.config.includes(key))
        throw new BadRequest(`loss_fn_config: ${request.lossFn} has no "${key}" (${loss.config.join(", ") || "none"})`);
    }
    if (request.data.length === 0) throw new BadRequest("data is empty");
    this.#data = request.data.map((datum, index) => {
      const where = `data[${index}]`;
      const checked = checkDatum(datum, where, request.lossFn, loss.inputs);
      checkTokens(checked.input, `${where}.model_input`, info, 1);
      checkTokens(checked.targets, `${where}.loss_fn_inputs.target_tokens`, info, 0);
      return checked;
    });
    this.sequences = this.#data.flatMap((datum, index) => sequencesOf(datum, index, request.lossFn));
  }

  /** The loss of one sequence and its derivative, for the engine. */
  readonly tokenLoss = (sequence: DatumSequence, current: TokenLogprobs) => {
    const { losses, gradients } = this.#losses(sequence, current.logprobs);
    let loss = 0;
    for (const value of losses) loss += value;
    return { loss, logprobGradient: Float32Array.from(gradients) };
  };

  output(results: readonly TokenLogprobs[]): ForwardBackwardOutput {
    const logprobs = this.#data.map(({ targets }) => new Float32Array(targets.length));
    const elementwise = this.#data.map(({ targets }) => new Float32Array(targets.length));
    let total = 0;
    // Main sequences come before the single targets of the same datum, which overwrite their positions.
    for (const [index, sequence] of this.sequences.entries()) {
      const current = results[index]!.logprobs;
      const { losses } = this.#losses(sequence, current);
      logprobs[sequence.datum]!.set(current, sequence.offset);
      for (const [position, value] of losses.entries()) {
        total += value;
        elementwise[sequence.datum]![sequence.offset + position] = value;
      }
    }
    return {
      lossFnOutputType: "scalar",
      lossFnOutputs: logprobs.map((values, index) => ({
        logprobs: float32Tensor(values),
        ...(this.#request.lossFn === "cross_entropy" ? { elementwise_loss: float32Tensor(elementwise[index]!) } : {}),
      })),
      metrics: { "loss:sum": total },
    };
  }

  outputOf(result: ForwardBackwardResult<DatumSequence>): ForwardBackwardOutput {
    return this.output(result.sequences.map(({ current }) => current));
  }

  #losses(sequence: DatumSequence, logprobs: Float32Array) {
    const { inputs } = this.#data[sequence.datum]!;
    const end = sequence.offset + logprobs.length;
    const sliced = Object.fromEntries(
      Object.entries(inputs).map(([name, tensor]) => [
        name,
        { ...tensor, data: tensor.data.slice(sequence.offset, end) },
      ]),
    );
    const result = tokenLosses(this.#request.lossFn, this.#request.lossFnConfig, logprobs, sliced);
    for (const position of sequence.skipped) {
      result.losses[position] = 0;
      result.gradients[position] = 0;
    }
    return result;
  }
}

function checkDatum(datum: Datum, where: string, lossFn: string, names: readonly string[]): CheckedDatum {
  const input = textTokens(datum, where);
  const { target_tokens: target, ...given } = datum.lossFnInputs;
  if (target === undefined) throw new BadRequest(`${where}.loss_fn_inputs: target_tokens is missing`);
  if (input.length === 0) throw new BadRequest(`${where}.model_input is empty`);
  const check = (name: string, tensor: TensorData): void => {
    const at = `${where}.loss_fn_inputs.${name}`;
    if ((tensor.shape?.length ?? 1) > 1 || tensor.sparseCrowIndices !== undefined)
      throw new BadRequest(`${at}: only dense vectors are supported, not shape [${tensor.shape?.join(", ")}]`);
    if (tensor.data.length !== input.length)
      throw new BadRequest(`${at} has ${tensor.data.length} values, model_input ${input.length} tokens`);
    if (!Array.from(tensor.data).every(Number.isFinite)) throw new BadRequest(`${at} holds values that are not finite`);
  };
  check("target_tokens", target);
  for (const [name, tensor] of Object.entries(given)) {
    if (!names.includes(name))
      throw new BadRequest(
        `${where}.loss_fn_inputs: ${lossFn} takes target_tokens, ${names.join(", ")}; not "${name}"`,
      );
    check(name, tensor);
  }
  const inputs: Record<string, TensorData> = { ...given };
  if (lossFn === "cross_entropy") inputs.weights ??= float32Tensor(new Float32Array(input.length).fill(1));
  for (const name of names)
    if (inputs[name] === undefined) throw new BadRequest(`${where}.loss_fn_inputs: ${lossFn} needs ${name}`);
  return { input, targets: Array.from(target.data), inputs };
}

/** Throws BadRequest for ids outside the vocabulary, and where tokens and `more` exceed the context. */
export function checkTokens(tokens: readonly number[], where: string, info: ModelInfo, more: number): void {
  const { vocabularySize, contextLength } = info;
  const wrong = tokens.findIndex((token) => !Number.isInteger(token) || token < 0 || token >= vocabularySize);
  if (wrong >= 0)
    throw new BadRequest(
      `${where}[${wrong}] is ${tokens[wrong]}; token ids are integers from 0 to ${vocabularySize - 1}`,
    );
  if (tokens.length + more > contextLength)
    throw new BadRequest(`${where}: ${tokens.length} tokens and ${more} more exceed the context of ${contextLength}`);
}

function textTokens(datum: Datum, where: string): number[] {
  try {
    return inputTokens(datum.modelInput);
  } catch (error) {
    throw new BadRequest(`${where}: ${(error as Error).message}`);
  }
}

function sequencesOf({ input, targets, inputs }: CheckedDatum, datum: number, lossFn: string): DatumSequence[] {
  const last = targets.length - 1;
  const coefficients = lossFn === "dro" ? undefined : (inputs.weights ?? inputs.advantages)?.data;
  // Without any coefficient the caller asks for logprobs, of every target.
  const masked = coefficients?.some((value) => value !== 0) ? coefficients : undefined;
  const skipped = new Set<number>();
  const single: DatumSequence[] = [];
  for (let i = 0; i < last; i++) {
    if (targets[i] === input[i + 1]) continue;
    skipped.add(i);
    if (masked?.[i] !== 0)
      single.push({ prompt: input.slice(0, i + 1), response: [targets[i]!], datum, offset: i, skipped: new Set() });
  }
  const whole = { prompt: input.slice(0, 1), response: [...input.slice(1), targets[last]!], datum, offset: 0, skipped };
  return [whole, ...single];
}

import { InvalidArgumentError, ProtocolError } from "../errors.js";
import type { NumberArray } from "../protocol/tensors.js";
import type { Datum, ForwardBackwardOutput } from "../protocol/training.js";

/** What a custom loss gives back. */
export interface CustomLossResult {
  readonly loss: number;
  /** ∂loss/∂logprob, one vector per datum of its targets' length; all normalisation included. */
  readonly gradients: readonly NumberArray[];
  readonly metrics?: Readonly<Record<string, number>>;
}

/** @param logprobs current logprobs of each datum's targets, length N each */
export type CustomLoss = (
  logprobs: readonly Float32Array[],
  data: readonly Datum[],
) => CustomLossResult | Promise<CustomLossResult>;

export interface ComputedLoss extends CustomLossResult {
  readonly forward: ForwardBackwardOutput;
}

/** Runs the caller's loss on a forward pass and checks what it gives: a NaN sent as gradient would ruin the weights. */
export async function customGradients(
  data: readonly Datum[],
  forward: ForwardBackwardOutput,
  loss: CustomLoss,
): Promise<ComputedLoss> {
  const logprobs = forward.lossFnOutputs.map((output, i) => {
    const tensor = output.logprobs;
    const length = data[i]!.lossFnInputs.target_tokens!.data.length;
    if (tensor === undefined || tensor.data.length !== length) {
      throw new ProtocolError(
        `forward gave ${tensor?.data.length ?? "no"} logprobs for the ${length} targets of datum ${i}`,
      );
    }
    return tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data);
  });
  const result = await loss(logprobs, data);
  if (!Number.isFinite(result.loss)) throw new InvalidArgumentError(`the custom loss is ${result.loss}`);
  if (result.gradients.length !== data.length) {
    throw new InvalidArgumentError(
      `the custom loss gave ${result.gradients.length} gradient vectors for ${data.length} datums`,
    );
  }
  result.gradients.forEach((gradient, i) => {
    if (gradient.length !== logprobs[i]!.length) {
      throw new InvalidArgumentError(
        `the custom loss gave ${gradient.length} gradients for the ${logprobs[i]!.length} targets of datum ${i}`,
      );
    }
    const bad = gradient.findIndex((value: number) => !Number.isFinite(value));
    if (bad >= 0)
      throw new InvalidArgumentError(`the custom loss gave ${gradient[bad]} as gradient ${bad} of datum ${i}`);
  });
  return { ...result, forward };
}

/** The output of a custom loss: the linear pass is a means, so the loss and metrics shown are the caller's. */
export function customOutput(linear: ForwardBackwardOutput, computed: ComputedLoss): ForwardBackwardOutput {
  return {
    lossFnOutputType: linear.lossFnOutputType,
    lossFnOutputs: computed.forward.lossFnOutputs.map((output) => ({ logprobs: output.logprobs! })),
    metrics: { "loss:sum": computed.loss, ...computed.metrics },
  };
}

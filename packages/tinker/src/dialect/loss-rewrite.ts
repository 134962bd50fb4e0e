import { DialectError } from "../errors.js";
import { float32Tensor, type NumberArray } from "../protocol/tensors.js";
import type { Datum, ForwardBackwardOutput, LossFnOutput } from "../protocol/training.js";
import type { Dialect } from "./dialect.js";
import { completeLossConfig, lossInputNames, tokenLosses } from "./token-losses.js";

/** A loss as the caller means it: summed over tokens and datums. */
export interface LossCall {
  readonly data: readonly Datum[];
  readonly lossFn: string;
  readonly lossFnConfig?: Readonly<Record<string, number>>;
}

/** cispo with both thresholds 1 is exactly -A·lp, whatever `logprobs` holds: a linear loss without the role of a weight. */
const LINEAR_CONFIG = { clip_low_threshold: 1, clip_high_threshold: 1 };

/**
 * Whether a server of this dialect computes the loss itself, with the gradient the caller means. Otherwise the client
 * computes it from the logprobs of a forward pass and sends it as a linear loss.
 */
export function serverComputes(dialect: Dialect, lossFn: string): boolean {
  if (!dialect.losses.has(lossFn)) return lossInputNames(lossFn) === undefined;
  // The thresholds cannot be sent, and the server's own default differs from the service's.
  return !(lossFn === "cispo" && !dialect.cispoThresholds);
}

/**
 * The call to send so that the server's gradient is that of the summed loss.
 * @param datumsInStep datums of all gradient calls between two optimizer steps (needed where the server averages)
 */
export function rewriteLoss(dialect: Dialect, call: LossCall, datumsInStep: number): LossCall {
  const lossFnConfig = dialect.name === "hosted" ? call.lossFnConfig : completedConfig(dialect, call);
  const config = lossFnConfig === undefined ? {} : { lossFnConfig };
  if (dialect.reduction === "sum") return { data: call.data, lossFn: call.lossFn, ...config };
  if (call.lossFn === "cross_entropy") {
    return linearCall(
      dialect,
      call.data,
      call.data.map((datum) => negated(datum.lossFnInputs.weights!.data)),
      datumsInStep,
    );
  }
  if (lossInputNames(call.lossFn) === undefined) {
    throw new DialectError(
      `${dialect.name} averages over tokens and datums, and the loss "${call.lossFn}" is not known to this client, so its scale cannot be corrected. Use forwardBackwardCustom`,
    );
  }
  const data = call.data.map((datum) => {
    const { target_tokens: targets, logprobs, advantages } = datum.lossFnInputs;
    const scaled = scale(advantages!.data, targets!.data.length * datumsInStep);
    return {
      modelInput: datum.modelInput,
      lossFnInputs: { target_tokens: targets!, logprobs: logprobs!, advantages: float32Tensor(scaled) },
    };
  });
  return { data, lossFn: call.lossFn, ...config };
}

function completedConfig(dialect: Dialect, call: LossCall): LossCall["lossFnConfig"] {
  const takesConfig = call.lossFn === "cispo" ? dialect.cispoThresholds : call.lossFn === "ppo";
  return takesConfig ? completeLossConfig(call.lossFn, call.lossFnConfig) : call.lossFnConfig;
}

/**
 * The linear loss Σ g·lp, whose gradient is Σ g·∂lp/∂θ: with g = ∂C/∂lp that is ∂C/∂θ for any client-side loss C.
 * @param gradients one vector per datum, of its targets' length
 */
export function linearCall(
  dialect: Dialect,
  data: readonly Datum[],
  gradients: readonly NumberArray[],
  datumsInStep: number,
): LossCall {
  if (dialect.reduction === "sum") {
    return {
      lossFn: "cross_entropy",
      data: data.map((datum, i) => ({
        modelInput: datum.modelInput,
        lossFnInputs: {
          target_tokens: datum.lossFnInputs.target_tokens!,
          weights: float32Tensor(negated(gradients[i]!)),
        },
      })),
    };
  }
  return {
    lossFn: "cispo",
    lossFnConfig: LINEAR_CONFIG,
    data: data.map((datum, i) => {
      const targets = datum.lossFnInputs.target_tokens!;
      const length = targets.data.length;
      return {
        modelInput: datum.modelInput,
        lossFnInputs: {
          target_tokens: targets,
          logprobs: float32Tensor(new Float32Array(length)),
          advantages: float32Tensor(scale(gradients[i]!, -length * datumsInStep)),
        },
      };
    }),
  };
}

/**
 * The output in the caller's terms: `elementwise_loss` and `loss:sum` of the loss as the caller meant it, computed from the
 * server's logprobs where the server reported other numbers.
 */
export function restoreOutput(dialect: Dialect, call: LossCall, output: ForwardBackwardOutput): ForwardBackwardOutput {
  if (dialect.name === "hosted" || lossInputNames(call.lossFn) === undefined) return output;
  let total = 0;
  const lossFnOutputs = output.lossFnOutputs.map((fields, i): LossFnOutput => {
    const logprobs = fields.logprobs;
    if (logprobs === undefined) return fields;
    const { losses } = tokenLosses(call.lossFn, call.lossFnConfig, logprobs.data, call.data[i]!.lossFnInputs);
    for (const loss of losses) total += loss;
    return { ...fields, elementwise_loss: float32Tensor(Float32Array.from(losses)) };
  });
  return { ...output, lossFnOutputs, metrics: { ...output.metrics, "loss:sum": total } };
}

function scale(values: NumberArray, factor: number): Float32Array {
  return Float32Array.from(values, (value) => value * factor);
}

function negated(values: NumberArray): Float32Array {
  return scale(values, -1);
}

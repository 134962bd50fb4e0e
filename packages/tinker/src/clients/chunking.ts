import type { Datum, ForwardBackwardOutput, LossFnOutput } from "../protocol/training.js";

export interface ChunkLimits {
  readonly maxDatums: number;
  readonly maxBytes: number;
}

/** Estimated size of a datum in a request: four bytes a token and element as protobuf, about ten a number as JSON. */
export function datumBytes(datum: Datum, codec: "protobuf" | "json"): number {
  const perNumber = codec === "json" ? 10 : 4;
  let bytes = 0;
  for (const chunk of datum.modelInput.chunks) {
    switch (chunk.type) {
      case "encoded_text":
        bytes += chunk.tokens.length * perNumber;
        break;
      case "image":
        bytes += chunk.data.length;
        break;
      case "image_asset_pointer":
        bytes += chunk.location.length;
        break;
      case "dmel":
        bytes += chunk.dmel.length;
        break;
      default:
        chunk satisfies never;
    }
  }
  for (const tensor of Object.values(datum.lossFnInputs)) {
    bytes += tensor.data.length * (codec === "json" ? 10 : tensor.dtype === "int64" ? 8 : 4);
  }
  return bytes;
}

/** Cuts data into requests within the limits, in order; a datum that is too large alone goes alone. */
export function chunkData(data: readonly Datum[], codec: "protobuf" | "json", limits: ChunkLimits): Datum[][] {
  const chunks: Datum[][] = [];
  let current: Datum[] = [];
  let bytes = 0;
  for (const datum of data) {
    const size = datumBytes(datum, codec);
    if (current.length > 0 && (current.length >= limits.maxDatums || bytes + size > limits.maxBytes)) {
      chunks.push(current);
      current = [];
      bytes = 0;
    }
    current.push(datum);
    bytes += size;
  }
  chunks.push(current);
  return chunks;
}

/** One output as if the chunks had been one request: outputs in order, metrics merged by the reduction in their name. */
export function mergeOutputs(outputs: readonly ForwardBackwardOutput[]): ForwardBackwardOutput {
  if (outputs.length === 1) return outputs[0]!;
  const lossFnOutputs: LossFnOutput[] = outputs.flatMap((output) => output.lossFnOutputs);
  return { lossFnOutputType: outputs[0]?.lossFnOutputType ?? "", lossFnOutputs, metrics: mergeMetrics(outputs) };
}

/**
 * Merges by the suffix after the colon, as the official client does: `sum`, `min`, `max`; `mean` weighted by datum count;
 * `slack` the maximum minus that mean; `hash2` the sum modulo 2^64; `unique` kept apart under numbered names. Metrics that
 * a chunk lacks, or of unknown reductions (`hash_unordered` is Python's own tuple hash), are dropped rather than guessed.
 */
export function mergeMetrics(outputs: readonly ForwardBackwardOutput[]): Record<string, number> {
  const merged = new Map<string, number>();
  const weights = outputs.map((output) => output.lossFnOutputs.length);
  const totalWeight = weights.reduce((total, weight) => total + weight, 0);
  for (const name of Object.keys(outputs[0]?.metrics ?? {})) {
    const values = outputs.flatMap((output) => output.metrics[name] ?? []);
    if (values.length < outputs.length) continue;
    const mean = values.reduce((total, value, i) => total + value * (weights[i]! / totalWeight), 0);
    switch (name.slice(name.lastIndexOf(":") + 1)) {
      case "sum":
        merged.set(
          name,
          values.reduce((total, value) => total + value, 0),
        );
        break;
      case "mean":
        merged.set(name, mean);
        break;
      case "slack":
        merged.set(name, Math.max(...values) - mean);
        break;
      case "min":
        merged.set(name, Math.min(...values));
        break;
      case "max":
        merged.set(name, Math.max(...values));
        break;
      case "hash2":
        merged.set(
          name,
          Number(
            BigInt.asUintN(
              64,
              values.reduce((total, value) => total + BigInt(Math.trunc(value)), 0n),
            ),
          ),
        );
        break;
      case "unique":
        values.forEach((value, i) => {
          merged.set(i === 0 ? name : `${name}_${i}`, value);
        });
        break;
    }
  }
  return Object.fromEntries(merged);
}

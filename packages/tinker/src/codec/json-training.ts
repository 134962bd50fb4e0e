import { ProtocolError } from "../errors.js";
import type { ModelInput, ModelInputChunk, TensorData } from "../protocol/tensors.js";
import type {
  AdamParams,
  Datum,
  ForwardBackwardOutput,
  ForwardBackwardRequest,
  LossFnOutput,
} from "../protocol/training.js";
import { DEFAULT_ADAM } from "../protocol/training.js";
import type { AdamParamsBody } from "../protocol/wire.js";
import {
  asArray,
  asInteger,
  asMetrics,
  asNumber,
  asNumbers,
  asObject,
  asString,
  type JsonObject,
  optional,
} from "./json.js";

/** JSON body of `POST forward` (where `forwardOnly`) or `POST forward_backward`. */
export function forwardBackwardRequestToJson(request: ForwardBackwardRequest): JsonObject {
  const input = {
    data: request.data.map(datumToJson),
    loss_fn: request.lossFn,
    ...(request.lossFnConfig === undefined ? {} : { loss_fn_config: request.lossFnConfig }),
  };
  return {
    model_id: request.modelId,
    ...(request.seqId === undefined ? {} : { seq_id: request.seqId }),
    ...(request.forwardOnly ? { forward_input: input } : { forward_backward_input: input }),
  };
}

/** The inverse, for servers. Which of the two inputs is there decides `forwardOnly`. */
export function forwardBackwardRequestFromJson(value: unknown): ForwardBackwardRequest {
  const body = asObject(value, "body");
  const forwardOnly = body.forward_input !== undefined && body.forward_input !== null;
  const name = forwardOnly ? "forward_input" : "forward_backward_input";
  const input = asObject(body[name], name);
  const seqId = optional(body.seq_id, "seq_id", asInteger);
  const config = optional(input.loss_fn_config, `${name}.loss_fn_config`, asObject);
  return {
    modelId: asString(body.model_id, "model_id"),
    data: asArray(input.data, `${name}.data`).map((datum, i) => datumFromJson(datum, `${name}.data[${i}]`)),
    lossFn: asString(input.loss_fn, `${name}.loss_fn`),
    forwardOnly,
    ...(seqId === undefined ? {} : { seqId }),
    ...(config === undefined ? {} : { lossFnConfig: asMetrics(config, `${name}.loss_fn_config`) }),
  };
}

export function datumToJson(datum: Datum): JsonObject {
  const inputs = Object.entries(datum.lossFnInputs).map(([name, tensor]) => [name, tensorToJson(tensor)]);
  return { model_input: modelInputToJson(datum.modelInput), loss_fn_inputs: Object.fromEntries(inputs) };
}

export function datumFromJson(value: unknown, where: string): Datum {
  const datum = asObject(value, where);
  const inputs = Object.entries(asObject(datum.loss_fn_inputs, `${where}.loss_fn_inputs`));
  return {
    modelInput: modelInputFromJson(datum.model_input, `${where}.model_input`),
    lossFnInputs: Object.fromEntries(
      inputs.map(([name, tensor]) => [name, tensorFromJson(tensor, `${where}.loss_fn_inputs.${name}`)]),
    ),
  };
}

export function tensorToJson(tensor: TensorData): JsonObject {
  return {
    data: Array.from(tensor.data),
    dtype: tensor.dtype,
    ...(tensor.shape === undefined ? {} : { shape: tensor.shape }),
    ...(tensor.sparseCrowIndices === undefined ? {} : { sparse_crow_indices: tensor.sparseCrowIndices }),
    ...(tensor.sparseColIndices === undefined ? {} : { sparse_col_indices: tensor.sparseColIndices }),
  };
}

export function tensorFromJson(value: unknown, where: string): TensorData {
  const tensor = asObject(value, where);
  const dtype = optional(tensor.dtype, `${where}.dtype`, asString) ?? "float32";
  if (dtype !== "float32" && dtype !== "int64")
    throw new ProtocolError(`${where}.dtype: expected "float32" or "int64", found "${dtype}"`);
  const data = asNumbers(tensor.data, `${where}.data`);
  const shape = optional(tensor.shape, `${where}.shape`, asNumbers);
  const crow = optional(tensor.sparse_crow_indices, `${where}.sparse_crow_indices`, asNumbers);
  const columns = optional(tensor.sparse_col_indices, `${where}.sparse_col_indices`, asNumbers);
  return {
    data: dtype === "float32" ? Float32Array.from(data) : data,
    dtype,
    ...(shape === undefined ? {} : { shape }),
    ...(crow === undefined ? {} : { sparseCrowIndices: crow }),
    ...(columns === undefined ? {} : { sparseColIndices: columns }),
  };
}

export function modelInputToJson(input: ModelInput): JsonObject {
  return { chunks: input.chunks.map(chunkToJson) };
}

function chunkToJson(chunk: ModelInputChunk): JsonObject {
  switch (chunk.type) {
    case "encoded_text":
      return { type: chunk.type, tokens: Array.from(chunk.tokens) };
    case "image":
      return { type: chunk.type, data: base64(chunk.data), format: chunk.format, ...expected(chunk.expectedTokens) };
    case "image_asset_pointer":
      return { type: chunk.type, format: chunk.format, location: chunk.location, ...expected(chunk.expectedTokens) };
    case "dmel":
      return { type: chunk.type, dmel: base64(chunk.dmel) };
    default:
      return chunk satisfies never;
  }
}

export function modelInputFromJson(value: unknown, where: string): ModelInput {
  const chunks = asArray(asObject(value, where).chunks, `${where}.chunks`);
  return { chunks: chunks.map((chunk, i) => chunkFromJson(chunk, `${where}.chunks[${i}]`)) };
}

function chunkFromJson(value: unknown, where: string): ModelInputChunk {
  const chunk = asObject(value, where);
  const type = optional(chunk.type, `${where}.type`, asString) ?? ("tokens" in chunk ? "encoded_text" : "image");
  const bytes = (name: string): Uint8Array =>
    new Uint8Array(Buffer.from(asString(chunk[name], `${where}.${name}`), "base64"));
  const format = (): "png" | "jpeg" => (asString(chunk.format, `${where}.format`) === "jpeg" ? "jpeg" : "png");
  const expectedTokens = optional(chunk.expected_tokens, `${where}.expected_tokens`, asInteger);
  const length = expectedTokens === undefined ? {} : { expectedTokens };
  switch (type) {
    case "encoded_text":
      return { type, tokens: asNumbers(chunk.tokens, `${where}.tokens`) };
    case "image":
      return { type, data: bytes("data"), format: format(), ...length };
    case "image_asset_pointer":
      return { type, location: asString(chunk.location, `${where}.location`), format: format(), ...length };
    case "dmel":
      return { type, dmel: bytes("dmel") };
    default:
      throw new ProtocolError(`${where}.type: "${type}" is not a known chunk kind`);
  }
}

/** JSON result of forward and forward_backward. */
export function forwardBackwardOutputToJson(output: ForwardBackwardOutput): JsonObject {
  return {
    loss_fn_output_type: output.lossFnOutputType,
    loss_fn_outputs: output.lossFnOutputs.map((fields) =>
      Object.fromEntries(Object.entries(fields).map(([name, tensor]) => [name, tensorToJson(tensor)])),
    ),
    metrics: output.metrics,
  };
}

export function forwardBackwardOutputFromJson(value: unknown): ForwardBackwardOutput {
  const body = asObject(value, "forward_backward result");
  const outputs = asArray(body.loss_fn_outputs, "loss_fn_outputs").map((fields, i): LossFnOutput => {
    const entries = Object.entries(asObject(fields, `loss_fn_outputs[${i}]`));
    return Object.fromEntries(
      entries.map(([name, tensor]) => [name, tensorFromJson(tensor, `loss_fn_outputs[${i}].${name}`)]),
    );
  });
  return {
    lossFnOutputType: optional(body.loss_fn_output_type, "loss_fn_output_type", asString) ?? "",
    lossFnOutputs: outputs,
    metrics: asMetrics(body.metrics, "metrics"),
  };
}

export function adamParamsToJson(params: AdamParams): AdamParamsBody {
  return {
    learning_rate: params.learningRate,
    beta1: params.beta1,
    beta2: params.beta2,
    eps: params.eps,
    weight_decay: params.weightDecay,
    grad_clip_norm: params.gradClipNorm,
  };
}

/** Missing members take the service's defaults. */
export function adamParamsFromJson(value: unknown): AdamParams {
  const body = asObject(value, "adam_params");
  const read = (name: string, fallback: number): number =>
    optional(body[name], `adam_params.${name}`, asNumber) ?? fallback;
  return {
    learningRate: read("learning_rate", DEFAULT_ADAM.learningRate),
    beta1: read("beta1", DEFAULT_ADAM.beta1),
    beta2: read("beta2", DEFAULT_ADAM.beta2),
    eps: read("eps", DEFAULT_ADAM.eps),
    weightDecay: read("weight_decay", DEFAULT_ADAM.weightDecay),
    gradClipNorm: read("grad_clip_norm", DEFAULT_ADAM.gradClipNorm),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function expected(tokens: number | undefined): JsonObject {
  return tokens === undefined ? {} : { expected_tokens: tokens };
}

import { InvalidArgumentError } from "../errors.js";

/** Numbers as callers have them; typed arrays are sent without a copy per element. */
export type NumberArray = readonly number[] | Float32Array | Float64Array | Int32Array;

export type TensorDtype = "float32" | "int64";

/** A dense or CSR-sparse tensor; `data` is row-major, and for CSR holds the stored values only. */
export interface TensorData {
  readonly data: NumberArray;
  readonly dtype: TensorDtype;
  readonly shape?: readonly number[];
  readonly sparseCrowIndices?: readonly number[];
  readonly sparseColIndices?: readonly number[];
}

/** A float32 vector of shape `[data.length]`. */
export function float32Tensor(data: NumberArray): TensorData {
  return { data, dtype: "float32", shape: [data.length] };
}

/** An int64 vector of shape `[data.length]` (token ids). */
export function int64Tensor(data: NumberArray): TensorData {
  return { data, dtype: "int64", shape: [data.length] };
}

/** One piece of a prompt or training sequence. Byte payloads are raw, not base64. */
export type ModelInputChunk =
  | { readonly type: "encoded_text"; readonly tokens: NumberArray }
  | {
      readonly type: "image";
      readonly data: Uint8Array;
      readonly format: "png" | "jpeg";
      readonly expectedTokens?: number;
    }
  | {
      readonly type: "image_asset_pointer";
      readonly location: string;
      readonly format: "png" | "jpeg";
      readonly expectedTokens?: number;
    }
  | { readonly type: "dmel"; readonly dmel: Uint8Array };

export interface ModelInput {
  readonly chunks: readonly ModelInputChunk[];
}

/** A text-only model input. An empty token list becomes an input without chunks: the service rejects empty chunks. */
export function textInput(tokens: NumberArray): ModelInput {
  return { chunks: tokens.length === 0 ? [] : [{ type: "encoded_text", tokens }] };
}

/** Length in tokens; chunks whose length only the server knows count as their `expectedTokens`, or 0. */
export function inputLength(input: ModelInput): number {
  let length = 0;
  for (const chunk of input.chunks) {
    switch (chunk.type) {
      case "encoded_text":
        length += chunk.tokens.length;
        break;
      case "image":
      case "image_asset_pointer":
        length += chunk.expectedTokens ?? 0;
        break;
      case "dmel":
        break;
      default:
        chunk satisfies never;
    }
  }
  return length;
}

/** All token ids of a text-only input. Throws {@link InvalidArgumentError} for other chunk kinds. */
export function inputTokens(input: ModelInput): number[] {
  const tokens: number[] = [];
  for (const chunk of input.chunks) {
    if (chunk.type !== "encoded_text")
      throw new InvalidArgumentError(`model input holds a ${chunk.type} chunk, text expected`);
    for (const token of chunk.tokens) tokens.push(token);
  }
  return tokens;
}

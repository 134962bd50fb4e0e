import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../errors.js";
import type { SampleResponse } from "../protocol/sampling.js";
import type { TensorData } from "../protocol/tensors.js";
import type { ForwardBackwardOutput, ForwardBackwardRequest } from "../protocol/training.js";
import {
  adamParamsFromJson,
  adamParamsToJson,
  decodeForwardBackwardOutput,
  decodeForwardBackwardRequest,
  decodeSampleResponse,
  encodeForwardBackwardOutput,
  encodeForwardBackwardRequest,
  encodeSampleResponse,
  forwardBackwardOutputFromJson,
  forwardBackwardOutputToJson,
  forwardBackwardRequestFromJson,
  forwardBackwardRequestToJson,
  sampleRequestFromJson,
  sampleRequestToJson,
  sampleResponseFromJson,
  sampleResponseToJson,
  zstdAvailable,
  zstdCompress,
  zstdDecompress,
} from "./index.js";
import { fieldIntegers, ProtobufWriter, readFields } from "./protobuf.js";

const float32 = fc.float({ noNaN: true, noDefaultInfinity: true });
const token = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const names = fc.constantFrom("target_tokens", "weights", "logprobs", "advantages");

const tensor: fc.Arbitrary<TensorData> = fc.oneof(
  fc
    .array(float32, { maxLength: 6 })
    .map((data) => ({ data: Float32Array.from(data), dtype: "float32" as const, shape: [data.length] })),
  fc.array(token, { maxLength: 6 }).map((data) => ({ data, dtype: "int64" as const, shape: [data.length] })),
);
const request: fc.Arbitrary<ForwardBackwardRequest> = fc.record({
  modelId: fc.string(),
  seqId: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  lossFn: fc.constantFrom("cross_entropy", "ppo"),
  lossFnConfig: fc.dictionary(fc.string({ minLength: 1 }), fc.double({ noNaN: true, noDefaultInfinity: true }), {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  }),
  forwardOnly: fc.boolean(),
  data: fc.array(
    fc.record({
      modelInput: fc.record({
        chunks: fc.array(
          fc.oneof(
            fc
              .array(token, { minLength: 1, maxLength: 8 })
              .map((tokens) => ({ type: "encoded_text" as const, tokens })),
            fc
              .uint8Array({ minLength: 1, maxLength: 8 })
              .map((data) => ({ type: "image" as const, data, format: "png" as const, expectedTokens: 3 })),
            fc.uint8Array({ minLength: 1, maxLength: 8 }).map((dmel) => ({ type: "dmel" as const, dmel })),
          ),
          { maxLength: 3 },
        ),
      }),
      lossFnInputs: fc.dictionary(names, tensor, { maxKeys: 3, noNullPrototype: true }),
    }),
    { maxLength: 3 },
  ),
});

/** Plain lists instead of typed arrays: what the two codecs must agree on. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, item: unknown) =>
      ArrayBuffer.isView(item) ? Array.from(item as unknown as ArrayLike<number>) : Object.is(item, -0) ? 0 : item,
    ),
  );
}

describe("forward_backward requests", () => {
  it("survive protobuf and JSON, in both directions", () => {
    fc.assert(
      fc.property(request, (value) => {
        expect(plain(decodeForwardBackwardRequest(encodeForwardBackwardRequest(value)))).toEqual(plain(value));
        const json: unknown = JSON.parse(JSON.stringify(forwardBackwardRequestToJson(value)));
        expect(plain(forwardBackwardRequestFromJson(json))).toEqual(plain(value));
      }),
    );
  });

  it("keep foreign names that mean something in JavaScript", () => {
    const tensors = JSON.parse('{"__proto__":{"data":[1],"dtype":"float32","shape":[1]}}') as Record<
      string,
      TensorData
    >;
    const value: ForwardBackwardRequest = {
      modelId: "m",
      lossFn: "ppo",
      lossFnConfig: JSON.parse('{"__proto__":0.5,"constructor":2}') as Record<string, number>,
      forwardOnly: false,
      data: [{ modelInput: { chunks: [] }, lossFnInputs: tensors }],
    };
    expect(plain(decodeForwardBackwardRequest(encodeForwardBackwardRequest(value)))).toEqual(plain(value));
    expect(plain(forwardBackwardRequestFromJson(forwardBackwardRequestToJson(value)))).toEqual(plain(value));
  });

  it("are the bytes of the protobuf format", () => {
    // Field 1 "m", field 2 = 1, field 3 (datum) with one text chunk, field 4 "ce", field 6 true.
    const bytes = encodeForwardBackwardRequest({
      modelId: "m",
      seqId: 1,
      lossFn: "ce",
      forwardOnly: true,
      data: [{ modelInput: { chunks: [{ type: "encoded_text", tokens: [258] }] }, lossFnInputs: {} }],
    });
    expect(Buffer.from(bytes).toString("hex")).toBe("0a016d10011a0a0a080a060a0402010000220263653001");
  });

  it("sparse tensors keep their indices", () => {
    const sparse: TensorData = {
      data: [1, 2],
      dtype: "float32",
      shape: [2, 3],
      sparseCrowIndices: [0, 1, 2],
      sparseColIndices: [2, 0],
    };
    const value: ForwardBackwardRequest = {
      modelId: "m",
      lossFn: "x",
      forwardOnly: false,
      data: [{ modelInput: { chunks: [] }, lossFnInputs: { weights: sparse } }],
    };
    expect(plain(decodeForwardBackwardRequest(encodeForwardBackwardRequest(value)))).toEqual(plain(value));
  });
});

describe("outputs", () => {
  const output: ForwardBackwardOutput = {
    lossFnOutputType: "scalar",
    lossFnOutputs: [
      { logprobs: { data: Float32Array.of(-1, -2), dtype: "float32", shape: [2] } },
      { logprobs: { data: Float32Array.of(-3), dtype: "float32", shape: [1] } },
      {
        logprobs: { data: Float32Array.of(-4), dtype: "float32", shape: [1] },
        picks: { data: Int32Array.of(7), dtype: "int64", shape: [1] },
      },
    ],
    metrics: { "loss:sum": 1.5, "count:max": -3 },
  };
  const samples: SampleResponse = {
    sequences: [
      { stopReason: "stop", tokens: Int32Array.of(5, 6), logprobs: Float32Array.of(-0.5, -1) },
      { stopReason: "length", tokens: new Int32Array(0), logprobs: new Float32Array(0) },
    ],
    promptLogprobs: [null, -0.25],
    topkPromptLogprobs: [
      null,
      [
        [3, -0.5],
        [4, -1],
      ],
    ],
    promptCacheHitTokens: 2,
  };

  it("of training survive protobuf and JSON", () => {
    expect(plain(decodeForwardBackwardOutput(encodeForwardBackwardOutput(output)))).toEqual(plain(output));
    expect(
      plain(forwardBackwardOutputFromJson(JSON.parse(JSON.stringify(forwardBackwardOutputToJson(output))))),
    ).toEqual(plain(output));
  });

  it("of sampling survive protobuf and JSON; an undefined prompt logprob is null", () => {
    expect(plain(decodeSampleResponse(encodeSampleResponse(samples)))).toEqual(plain(samples));
    expect(plain(sampleResponseFromJson(JSON.parse(JSON.stringify(sampleResponseToJson(samples)))))).toEqual(
      plain(samples),
    );
  });

  it("read from a pooled Buffer at any offset", () => {
    const bytes = encodeForwardBackwardOutput(output);
    for (let offset = 0; offset < 8; offset++) {
      const pool = Buffer.alloc(bytes.length + 16);
      pool.set(bytes, offset);
      expect(plain(decodeForwardBackwardOutput(pool.subarray(offset, offset + bytes.length)))).toEqual(plain(output));
    }
  });

  it("never come back changed from a truncated message: they are refused, or a prefix of whole fields", () => {
    const bytes = encodeSampleResponse(samples);
    for (let length = 0; length < bytes.length; length++) {
      let decoded: SampleResponse;
      try {
        decoded = decodeSampleResponse(bytes.subarray(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        continue;
      }
      expect(plain(samples.sequences.slice(0, decoded.sequences.length))).toEqual(plain(decoded.sequences));
    }
  });

  it("bfloat16 and int32 widen", () => {
    const batched = new ProtobufWriter()
      .bytes(1, Uint8Array.of(0x80, 0x3f, 0x00, 0xc0))
      .bytes(2, new Uint8Array(new BigInt64Array([0n, 4n]).buffer))
      .varint(3, 4)
      .finish();
    const message = new ProtobufWriter()
      .message(2, (record) => {
        record.message(2, (entry) => void entry.string(1, "x").bytes(2, batched)).varint(3, 1);
      })
      .finish();
    expect(plain(decodeForwardBackwardOutput(message).lossFnOutputs)).toEqual([
      { x: { data: [1, -2], dtype: "float32", shape: [2] } },
    ]);
  });
});

describe("JSON bodies", () => {
  it("of sampling survive", () => {
    const value = {
      target: { samplingSessionId: "s", seqId: 3 },
      prompt: { chunks: [{ type: "encoded_text" as const, tokens: [1, 2] }] },
      numSamples: 2,
      samplingParams: { maxTokens: 5, seed: 1, stop: [7], temperature: 0.5, topK: 10, topP: 0.9 },
      promptLogprobs: true,
      topkPromptLogprobs: 4,
    };
    expect(sampleRequestFromJson(sampleRequestToJson(value))).toEqual(value);
  });

  it("say where they are wrong", () => {
    expect(() =>
      sampleRequestFromJson({
        base_model: "x",
        prompt: { chunks: [{ tokens: "no" }] },
        sampling_params: { max_tokens: 1 },
      }),
    ).toThrow(/prompt\.chunks\[0\]\.tokens: expected a list, found "no"/);
    expect(() =>
      forwardBackwardRequestFromJson({ model_id: "m", forward_input: { data: [{}], loss_fn: "x" } }),
    ).toThrow(/data\[0\]\.loss_fn_inputs/);
    expect(() => sampleRequestFromJson({ prompt: { chunks: [] }, sampling_params: { max_tokens: 1 } })).toThrow(
      /one of sampling_session_id/,
    );
  });

  it("optimizer parameters take the service's defaults", () => {
    expect(adamParamsFromJson({ learning_rate: 0.5 })).toEqual({
      learningRate: 0.5,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-12,
      weightDecay: 0,
      gradClipNorm: 0,
    });
    const params = adamParamsFromJson({});
    expect(adamParamsFromJson(adamParamsToJson(params))).toEqual(params);
  });
});

describe("protobuf numbers", () => {
  it("survive, negative ones in ten bytes", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const [field] = [...readFields(new ProtobufWriter().varint(1, value).finish())];
        expect(field!.integer).toBe(value);
      }),
    );
    expect(new ProtobufWriter().varint(1, -1).finish()).toHaveLength(11);
  });

  it("packed lists survive", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2 ** 40), { minLength: 1 }), (values) => {
        const [field] = [...readFields(new ProtobufWriter().packedVarints(4, values).finish())];
        expect(fieldIntegers(field!)).toEqual(values);
      }),
    );
  });

  it("malformed messages are refused", () => {
    for (const bytes of [[0x0a], [0x0a, 5, 1], [0x08], [0x08, 0x80], [0x0b], [0x00], [0x09, 1, 2]]) {
      expect(() => [...readFields(Uint8Array.from(bytes))]).toThrow(ProtocolError);
    }
  });
});

it("zstd is used where Node has it", () => {
  const bytes = new Uint8Array(1000);
  if (!zstdAvailable()) expect(zstdCompress(bytes)).toBeUndefined();
  else expect(Uint8Array.from(zstdDecompress(zstdCompress(bytes)!)!)).toEqual(bytes);
});

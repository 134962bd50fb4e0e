/** Protobuf and JSON codecs of the Tinker protocol, requests and responses in both directions. */

export {
  sampleRequestFromJson,
  sampleRequestToJson,
  sampleResponseFromJson,
  sampleResponseToJson,
  samplingParamsFromJson,
  samplingParamsToJson,
} from "./json-sampling.js";
export {
  adamParamsFromJson,
  adamParamsToJson,
  datumFromJson,
  datumToJson,
  forwardBackwardOutputFromJson,
  forwardBackwardOutputToJson,
  forwardBackwardRequestFromJson,
  forwardBackwardRequestToJson,
  modelInputFromJson,
  modelInputToJson,
  tensorFromJson,
  tensorToJson,
} from "./json-training.js";
export { decodeSampleResponse, encodeSampleResponse } from "./proto-sampling.js";
export {
  decodeForwardBackwardOutput,
  decodeForwardBackwardRequest,
  encodeForwardBackwardOutput,
  encodeForwardBackwardRequest,
} from "./proto-training.js";
export { zstdAvailable, zstdCompress, zstdDecompress } from "./zstd.js";

/** Media type of protobuf bodies. */
export const PROTOBUF_CONTENT_TYPE = "application/x-protobuf";

export { addedTo, type DifferentiateOptions, differentiate } from "./differentiate.js";
export {
  type Attribute,
  Graph,
  type GraphNode,
  type NodeOptions,
  type OutputSpecification,
  type Value,
} from "./graph.js";
export { swiglu } from "./ops/activation.js";
export { type AttentionBlocks, type CausalAttentionInputs, causalAttention } from "./ops/attention.js";
export { widened } from "./ops/cast.js";
export { logitGradient, logSoftmax, type TokenDistribution, tokenDistribution } from "./ops/distribution.js";
export { add, exponential, multiply, negate, scale, subtract } from "./ops/elementwise.js";
export { gatherRows } from "./ops/gather.js";
export { gemm, type LowRankFactors, linear, lowRankLinear, type MatMulOptions, matmul, sumRows } from "./ops/linear.js";
export { rmsNorm } from "./ops/normalization.js";
export { type RotaryTables, rotaryEmbedding } from "./ops/rotary.js";
export { expandAs, reduceSum, reshape, reshapeBy, transpose } from "./ops/shape.js";
export { collectRows, type SpreadSources, spreadRows } from "./ops/slots.js";
export { type ForwardAndBackward, partition, type SavedValue, type Subgraph, subgraph } from "./partition.js";
export { dataTypes, serialiseModel } from "./serialise.js";
export {
  broadcastShapes,
  type Dimension,
  elementCount,
  fixedDimension,
  resolveShape,
  type Shape,
  sameShape,
} from "./shape.js";

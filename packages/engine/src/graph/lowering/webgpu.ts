import type { Shape } from "../shape.js";
import type { LoweringContext, OnnxValue, Rewrite } from "./lowering.js";

/** ONNX Runtime 1.30's WebGPU provider: operations it has no kernel for, or a wrong one. */
export const webgpuRewrites: Readonly<Record<string, Rewrite>> = {
  /** No kernel. op(A) op(B) · alpha as Transpose, MatMul, Mul. */
  FusedMatMul: (node, context) => {
    const [a, b] = node.inputs as [OnnxValue, OnnxValue];
    const { transA, transB, alpha } = node.attributes;
    const [product] = node.outputs as [OnnxValue];
    const left = transA === 1n ? swapLastAxes(a, context) : a;
    const right = transB === 1n ? swapLastAxes(b, context) : b;
    if (alpha === 1) {
      context.emit("MatMul", [left, right], product.shape, { output: product });
      return;
    }
    const unscaled = context.emit("MatMul", [left, right], product.shape);
    const factor = context.constant(Float32Array.of(alpha as number), [], "float32");
    context.emit("Mul", [unscaled, factor], product.shape, { output: product });
  },

  /** No kernel. x − max − log Σ exp(x − max) over the last axis. */
  LogSoftmax: (node, context) => {
    const [x] = node.inputs as [OnnxValue];
    const [y] = node.outputs as [OnnxValue];
    const column = [...x.shape.slice(0, -1), 1];
    const axis = lastAxis(x, context);
    const keepdims = { attributes: { keepdims: 1n } };
    const shifted = context.emit("Sub", [x, context.emit("ReduceMax", [x, axis], column, keepdims)], x.shape);
    const sum = context.emit("ReduceSum", [context.emit("Exp", [shifted], x.shape), axis], column, keepdims);
    context.emit("Sub", [shifted, context.emit("Log", [sum], column)], x.shape, { output: y });
  },

  /** Its second output, 1 / rms, is all zeros: the kernel makes the first alone, plain operations the second. */
  SimplifiedLayerNormalization: (node, context) => {
    const [x] = node.inputs as [OnnxValue];
    const [y, inverseRms] = node.outputs as [OnnxValue, OnnxValue];
    context.emit(node.op, node.inputs, y.shape, { attributes: node.attributes, domain: node.domain, output: y });
    const square = context.emit("Mul", [x, x], x.shape);
    const mean = context.emit("ReduceMean", [square, lastAxis(x, context)], inverseRms.shape, {
      attributes: { keepdims: 1n },
    });
    const epsilon = context.constant(Float32Array.of(node.attributes.epsilon as number), [], "float32");
    const rms = context.emit("Sqrt", [context.emit("Add", [mean, epsilon], mean.shape)], mean.shape);
    context.emit("Reciprocal", [rms], mean.shape, { output: inverseRms });
  },
};

function swapLastAxes(x: OnnxValue, context: LoweringContext): OnnxValue {
  const permutation = x.shape.map((_, axis) => axis);
  permutation.push(...permutation.splice(-2).reverse());
  const shape: Shape = permutation.map((axis) => x.shape[axis]!);
  return context.emit("Transpose", [x], shape, { attributes: { perm: permutation.map(BigInt) } });
}

function lastAxis(x: OnnxValue, context: LoweringContext): OnnxValue {
  return context.constant(BigInt64Array.of(BigInt(x.shape.length - 1)), [1], "int64");
}

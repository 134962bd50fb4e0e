import { addedTo } from "../differentiate.js";
import type { GradientTerm, Value } from "../graph.js";
import { broadcastShapes, type Shape } from "../shape.js";
import { reduceSum, reshape } from "./shape.js";

function binary(op: "Add" | "Sub" | "Mul" | "Div", a: Value, b: Value): Value {
  return a.graph.node(op, [a, b], [{ shape: broadcastShapes(a.shape, b.shape) }])[0]!;
}

/** a + b with broadcasting. */
export function add(a: Value, b: Value): Value {
  return differentiableBinary(
    a,
    b,
    () => binary("Add", a, b),
    (gradient) => [gradient, gradient],
  );
}

/** a − b with broadcasting. */
export function subtract(a: Value, b: Value): Value {
  return differentiableBinary(
    a,
    b,
    () => binary("Sub", a, b),
    (gradient) => [gradient, negate(gradient)],
  );
}

/** a ⊙ b with broadcasting. */
export function multiply(a: Value, b: Value): Value {
  return differentiableBinary(
    a,
    b,
    () => binary("Mul", a, b),
    (gradient) => [() => multiply(gradient, b), () => multiply(gradient, a)],
  );
}

/** x · factor for a number. */
export function scale(x: Value, factor: number): Value {
  return unary(
    x,
    () => binary("Mul", x, x.graph.scalar(factor)),
    (gradient) => scale(gradient, factor),
  );
}

export function negate(x: Value): Value {
  return unary(x, () => x.graph.node("Neg", [x], [{ shape: x.shape }])[0]!, negate);
}

export function exponential(x: Value): Value {
  let y: Value;
  return unary(
    x,
    () => {
      y = x.graph.node("Exp", [x], [{ shape: x.shape }])[0]!;
      return y;
    },
    (gradient) => multiply(gradient, y),
  );
}

type Gradients = readonly [Value | (() => Value), Value | (() => Value)];

function differentiableBinary(a: Value, b: Value, compute: () => Value, vjp: (gradient: Value) => Gradients): Value {
  const [y] = a.graph.differentiable(
    [a, b],
    () => [compute()],
    ([gradient]) => {
      if (!gradient) return [];
      const parts = vjp(gradient);
      const term =
        (input: Value, index: 0 | 1): GradientTerm =>
        (previous) => {
          const part = parts[index];
          return addedTo(previous, reduceTo(typeof part === "function" ? part() : part, input.shape));
        };
      return [term(a, 0), term(b, 1)];
    },
  );
  return y!;
}

/** Records a function of one value whose gradient is `vjp(∂loss/∂y)`. */
export function unary(x: Value, compute: () => Value, vjp: (gradient: Value) => Value): Value {
  const [y] = x.graph.differentiable(
    [x],
    () => [compute()],
    ([gradient]) => (gradient ? [(previous) => addedTo(previous, vjp(gradient))] : []),
  );
  return y!;
}

/** Undoes broadcasting: sums the axes along which `shape` was repeated. */
function reduceTo(gradient: Value, shape: Shape): Value {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dimension, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dimension !== 1) ? [axis] : [],
  );
  if (axes.length === 0) return gradient;
  const summed = reduceSum(gradient, axes);
  return extra > 0 ? reshape(summed, shape) : summed;
}

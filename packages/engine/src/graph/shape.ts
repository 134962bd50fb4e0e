/** A dimension is a number, or the name of a size (or product of sizes: `time*2`) that is known when the graph runs. */
export type Dimension = number | string;
export type Shape = readonly Dimension[];

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Shape of an elementwise operation under numpy broadcasting. A name only matches itself or 1. */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new Error(`Shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast at axis ${axis}.`);
  });
}

/** The numeric dimension at an axis (negative counts from the end); an error if it is symbolic. */
export function fixedDimension(shape: Shape, axis: number): number {
  const dimension = shape.at(axis);
  if (typeof dimension !== "number")
    throw new Error(`Axis ${axis} of ${formatShape(shape)} must be a number, not a symbolic size.`);
  return dimension;
}

/** Replaces the names in a shape by their sizes. A name may be a product, e.g. `time*2`. */
export function resolveShape(shape: Shape, sizes: Readonly<Record<string, number>>): number[] {
  const sizeOf = (name: string): number => {
    const size = sizes[name] ?? Number(name);
    if (Number.isNaN(size)) throw new Error(`No size given for dimension "${name}" of ${formatShape(shape)}.`);
    return size;
  };
  return shape.map((dimension) =>
    typeof dimension === "number"
      ? dimension
      : dimension.split("*").reduce((product, name) => product * sizeOf(name), 1),
  );
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

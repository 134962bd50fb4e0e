import type { Value } from "../graph.js";
import { fixedDimension, formatShape } from "../shape.js";
import { negate, unary } from "./elementwise.js";

export interface RotaryTables {
  /** cos and sin of position × frequency: [positions, headDim / 2]. */
  readonly cosine: Value;
  readonly sine: Value;
  /** int64: [batch, time] positions, or one number [1], the position of the first token of every row. */
  readonly positions: Value;
}

/**
 * Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face: element i is paired with
 * i + headDim / 2. x [batch, heads, time, headDim] or [batch, time, heads × headDim]. Its transpose is the rotation by
 * the opposite angle.
 */
export function rotaryEmbedding(x: Value, tables: RotaryTables): Value {
  return unary(
    x,
    () => rotate(x, tables),
    (gradient) => rotaryEmbedding(gradient, { ...tables, sine: negate(tables.sine) }),
  );
}

function rotate(x: Value, { cosine, sine, positions }: RotaryTables): Value {
  const headDim = 2 * fixedDimension(cosine.shape, 1);
  const size = fixedDimension(x.shape, -1);
  if (!(x.shape.length === 4 ? size === headDim : x.shape.length === 3 && size % headDim === 0))
    throw new Error(
      `rotaryEmbedding: ${formatShape(x.shape)} does not fit tables ${formatShape(cosine.shape)} (wanted [batch, heads, time, ${headDim}] or [batch, time, heads × ${headDim}]).`,
    );
  return x.graph.node("RotaryEmbedding", [x, positions, cosine, sine], [{ shape: x.shape }], {
    domain: "com.microsoft",
    attributes: { interleaved: 0n },
  })[0]!;
}

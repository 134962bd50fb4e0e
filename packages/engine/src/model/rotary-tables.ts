/**
 * cos and sin of position × frequency for positions 0 … count − 1: [count, frequencies] each.
 * Like transformers, the angle is rounded to float32 before the cosine is taken.
 */
export function rotaryTables(
  inverseFrequencies: Float32Array,
  count: number,
): { readonly cosine: Float32Array; readonly sine: Float32Array } {
  const pairs = inverseFrequencies.length;
  const cosine = new Float32Array(count * pairs);
  const sine = new Float32Array(count * pairs);
  for (let position = 0; position < count; position++)
    for (let pair = 0; pair < pairs; pair++) {
      const angle = Math.fround(position * inverseFrequencies[pair]!);
      cosine[position * pairs + pair] = Math.cos(angle);
      sine[position * pairs + pair] = Math.sin(angle);
    }
  return { cosine, sine };
}

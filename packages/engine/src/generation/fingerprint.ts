/**
 * Tells whether an array of weights has changed: four interleaved 32-bit hashes (FNV-1a by words), which a processor
 * computes side by side, half a millisecond a million numbers.
 */
export function fingerprint(data: Float32Array): string {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const prime = 0x01000193;
  let [a, b, c, d] = [0x811c9dc5, 0x3c6ef372, 0xa54ff53a, 0x510e527f];
  const end = words.length - (words.length % 4);
  for (let index = 0; index < end; index += 4) {
    a = Math.imul(a ^ words[index]!, prime);
    b = Math.imul(b ^ words[index + 1]!, prime);
    c = Math.imul(c ^ words[index + 2]!, prime);
    d = Math.imul(d ^ words[index + 3]!, prime);
  }
  for (let index = end; index < words.length; index++) a = Math.imul(a ^ words[index]!, prime);
  return `${a}/${b}/${c}/${d}`;
}

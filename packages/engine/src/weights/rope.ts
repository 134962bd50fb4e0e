import type { ConfigReader } from "./config-reader.js";

/**
 * RoPE frequencies in radians a position, length headDimension / 2. Reads the new style (`rope_parameters`) or the old
 * one (`rope_theta` + `rope_scaling`, whose kind is `rope_type` or `type`).
 * Scalings: none, "linear", "llama3" (transformers, modeling_rope_utils.py).
 */
export function inverseFrequencies(config: ConfigReader, headDimension: number): Float32Array {
  const key = config.get("rope_parameters") === undefined ? "rope_scaling" : "rope_parameters";
  const scaling = config.object(key);
  const theta = (scaling?.get("rope_theta") === undefined ? config : scaling).positive("rope_theta", 10000);
  for (const reader of [config, scaling]) {
    if ((reader?.get("partial_rotary_factor") ?? 1) !== 1) reader!.fail("partial_rotary_factor", "1");
  }
  const frequencies = Float32Array.from(
    { length: headDimension / 2 },
    (_, pair) => 1 / theta ** ((2 * pair) / headDimension),
  );
  if (scaling === undefined) return frequencies;
  const kindKey = scaling.get("rope_type") === undefined ? "type" : "rope_type";
  switch (scaling.get(kindKey) ?? "default") {
    case "default":
      return frequencies;
    case "linear": {
      const factor = scaling.positive("factor");
      return frequencies.map((frequency) => frequency / factor);
    }
    case "llama3":
      return scaleLlama3(frequencies, scaling);
    default:
      return scaling.fail(kindKey, '"default", "linear", "llama3"');
  }
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones stay, those between are blended. */
function scaleLlama3(frequencies: Float32Array, scaling: ConfigReader): Float32Array {
  const factor = scaling.positive("factor");
  const lowFactor = scaling.positive("low_freq_factor");
  const highFactor = scaling.positive("high_freq_factor");
  const originalLength = scaling.size("original_max_position_embeddings");
  if (highFactor <= lowFactor) scaling.fail("high_freq_factor", `more than low_freq_factor (${lowFactor})`);
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < originalLength / highFactor) return frequency;
    if (wavelength > originalLength / lowFactor) return frequency / factor;
    const smooth = (originalLength / wavelength - lowFactor) / (highFactor - lowFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

import { RandomStream } from "../generation/random.js";
import type { ModelConfig } from "./config.js";
import { ParameterStore, parameterLayout } from "./parameters.js";

/**
 * A fresh model, as transformers initialises these families: matrices (embeddings and LM head included) from a normal
 * distribution with standard deviation `initializer_range`, norm weights 1, biases 0. The same seed gives the same
 * weights everywhere; each tensor draws from a stream of its own, (seed, index of the tensor in the layout).
 */
export function initializeParameters(
  config: ModelConfig,
  seed: number,
  options: { readonly gradients?: boolean } = {},
): ParameterStore {
  const store = new ParameterStore(parameterLayout(config), options);
  for (const [index, parameter] of [...store.parameters.values()].entries()) {
    switch (parameter.kind) {
      case "matrix":
        new RandomStream(seed, index).fillNormal(parameter.data, config.initializerRange);
        break;
      case "norm":
        parameter.data.fill(1);
        break;
      case "bias":
        break;
      default:
        parameter.kind satisfies never;
    }
  }
  return store;
}

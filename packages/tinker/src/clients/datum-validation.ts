import { lossInputNames } from "../dialect/token-losses.js";
import { InvalidArgumentError } from "../errors.js";
import { inputLength } from "../protocol/tensors.js";
import type { Datum } from "../protocol/training.js";

/**
 * Checks training data before anything is sent, because servers differ in what they notice: some reject, some compute
 * nonsense. Lengths must agree, numbers be finite, and inputs be those of the loss.
 * Throws {@link InvalidArgumentError} naming the datum and the input.
 * @param extraInputs further input names to allow, for losses of the server's own
 */
export function validateData(data: readonly Datum[], lossFn: string): void {
  if (data.length === 0) throw new InvalidArgumentError("forward and forward_backward need at least one datum");
  const names = lossInputNames(lossFn);
  data.forEach((datum, i) => {
    const where = `datum ${i}`;
    const targets = datum.lossFnInputs.target_tokens;
    if (targets === undefined) throw new InvalidArgumentError(`${where} has no loss input "target_tokens"`);
    if (targets.data.length === 0)
      throw new InvalidArgumentError(`${where} is empty: it needs at least one target token`);
    for (const chunk of datum.modelInput.chunks) {
      if (chunk.type === "encoded_text" && chunk.tokens.length === 0)
        throw new InvalidArgumentError(`${where} has an empty text chunk`);
    }
    const rows = targets.shape?.[0] ?? targets.data.length;
    const length = inputLength(datum.modelInput);
    const countable = datum.modelInput.chunks.every((chunk) => chunk.type === "encoded_text");
    if (countable && length !== rows) {
      throw new InvalidArgumentError(
        `${where}: the model input has ${length} tokens but there are ${rows} targets; for a sequence of n tokens both have n - 1`,
      );
    }
    for (const name of names ?? []) {
      if (datum.lossFnInputs[name] === undefined)
        throw new InvalidArgumentError(`${where}: the loss ${lossFn} needs the input "${name}"`);
    }
    for (const [name, tensor] of Object.entries(datum.lossFnInputs)) {
      if (names !== undefined && name !== "target_tokens" && !names.includes(name)) {
        throw new InvalidArgumentError(
          `${where}: the loss ${lossFn} takes ${names.join(", ")}, not "${name}"${name === "mask" ? "; fold a mask into advantages or weights" : ""}`,
        );
      }
      const sparse = tensor.sparseCrowIndices !== undefined;
      if (!sparse && names !== undefined && tensor.data.length !== targets.data.length) {
        throw new InvalidArgumentError(
          `${where}: "${name}" has ${tensor.data.length} values for ${targets.data.length} targets`,
        );
      }
      const bad = tensor.data.findIndex((value: number) => !Number.isFinite(value));
      if (bad >= 0)
        throw new InvalidArgumentError(`${where}: "${name}"[${bad}] is ${tensor.data[bad]}, a finite number is needed`);
    }
  });
}

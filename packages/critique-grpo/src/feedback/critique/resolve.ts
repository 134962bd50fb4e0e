/** From the configuration to a critic. */
import { InputError } from "../../config/errors.js";
import type { RunConfig } from "../../config/schema.js";
import { exportedFunction, type ModuleLoader } from "../reward/resolve.js";
import type { Critic } from "./critic.js";
import { createIndicativeCritic } from "./indicative.js";
import { type CritiqueFunction, createProgramCritic } from "./program.js";

/**
 * The critic that the configuration names; null for `none`. A program is the module's default export, or its export
 * called `critique`.
 * @throws InputError if `program` has no module, or another type has one.
 */
export async function resolveCritic(config: RunConfig["critique"], loadModule: ModuleLoader): Promise<Critic | null> {
  const { type, module } = config;
  if (type !== "program" && module !== undefined) {
    throw new InputError(`critique.module is read only with critique.type: program; the type is ${type}`);
  }
  switch (type) {
    case "none":
      return null;
    case "simple":
    case "simple_gt":
      return createIndicativeCritic(type);
    case "program":
      if (module === undefined) {
        throw new InputError(
          "critique.type: program needs critique.module, a module whose default export writes the critique",
        );
      }
      return createProgramCritic(
        (await exportedFunction(module, "critique", "critique", loadModule)) as CritiqueFunction,
      );
    default:
      throw new RangeError(`Unknown critique type ${String(type satisfies never)}`);
  }
}

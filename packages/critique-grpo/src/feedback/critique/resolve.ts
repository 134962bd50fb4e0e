/** From the configuration to a critic. */
import type { RunConfig } from "../../config/schema.js";
import { exportedFunction, type ModuleLoader } from "../reward/resolve.js";
import type { Critic } from "./critic.js";
import { createIndicativeCritic } from "./indicative.js";
import { createCheckpointCritic, createSelfCritic } from "./policy-critics.js";
import { type CritiqueFunction, createProgramCritic } from "./program.js";
import { createTeacherCritic } from "./teacher/teacher.js";

/**
 * The critic that the configuration names; null for `none`. A program is the module's default export, or its export
 * called `critique`. Files are read and checked here; weights are loaded and servers asked when a
 * run opens the critic.
 * @throws InputError if what it names is not to be had.
 */
export async function resolveCritic(config: RunConfig["critique"], loadModule: ModuleLoader): Promise<Critic | null> {
  switch (config.type) {
    case "none":
      return null;
    case "simple":
    case "simple_gt":
      return createIndicativeCritic(config.type);
    case "program":
      return createProgramCritic(
        (await exportedFunction(config.module, "critique", "critique", loadModule)) as CritiqueFunction,
      );
    case "self":
      return createSelfCritic(config);
    case "checkpoint":
      return createCheckpointCritic(config);
    case "teacher":
      return createTeacherCritic(config);
    default:
      throw new RangeError(`Unknown critic ${String(config satisfies never)}`);
  }
}

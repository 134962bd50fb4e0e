/** From the configuration's list of rewards to functions. */
import { InputError } from "../../config/errors.js";
import type { RunConfig } from "../../config/schema.js";
import { exactMatch } from "./exact-match.js";
import { format } from "./format.js";
import { length } from "./length.js";
import { math, unverifiableMathGold } from "./math.js";
import { multipleChoice, unverifiableChoiceGold } from "./multiple-choice.js";
import type { RewardFunction, WeightedReward } from "./reward.js";

/** Rewards that a configuration can name without a module. */
export const builtInRewards: Readonly<Record<string, RewardFunction>> = {
  "exact-match": exactMatch,
  format,
  length,
  math,
  "multiple-choice": multipleChoice,
};

/** Built-in rewards that cannot judge every gold answer: why they cannot judge this one, or null. */
const goldChecks: Readonly<
  Record<string, (gold: string, options: Readonly<Record<string, unknown>>) => string | null>
> = { math: unverifiableMathGold, "multiple-choice": unverifiableChoiceGold };

/** Imports a user's module: the caller knows where paths start and how TypeScript is loaded. */
export type ModuleLoader = (path: string) => Promise<Readonly<Record<string, unknown>>>;

/**
 * The reward functions that the configuration names: built in, or the default export (or the export with the reward's
 * name) of a module. Options of built-in rewards are checked here, before any work.
 * @throws InputError that names the reward and what is there instead.
 */
export async function resolveRewards(
  config: Pick<RunConfig["reward"], "functions">,
  loadModule: ModuleLoader,
): Promise<readonly WeightedReward[]> {
  const rewards: WeightedReward[] = [];
  for (const { name, module, weight, options } of config.functions) {
    const score =
      module === undefined
        ? await builtIn(name, options)
        : ((await exportedFunction(module, name, "reward", loadModule)) as RewardFunction);
    const goldCheck = module === undefined && Object.hasOwn(goldChecks, name) ? goldChecks[name] : undefined;
    rewards.push({
      ...{ name, score, weight, options },
      ...(goldCheck === undefined ? {} : { unverifiable: (gold: string) => goldCheck(gold, options) }),
    });
  }
  return rewards;
}

async function builtIn(name: string, options: Readonly<Record<string, unknown>>): Promise<RewardFunction> {
  const reward = Object.hasOwn(builtInRewards, name) ? builtInRewards[name] : undefined;
  if (reward === undefined) {
    throw new InputError(
      `Unknown reward "${name}"; built in are ${Object.keys(builtInRewards).join(", ")}. For a function of your own set reward.functions[].module`,
    );
  }
  // A built-in reward throws on bad options whatever the response is: ask it about an empty one.
  const question = { id: "", dataSource: "", text: "", prompt: "", gold: "", metadata: {} };
  await reward({ question, text: "", tokens: [], stopReason: "stop" }, options);
  return reward;
}

/** The default export of a module, or the export called `name`. */
export async function exportedFunction(
  module: string,
  name: string,
  what: string,
  loadModule: ModuleLoader,
): Promise<(...args: never[]) => unknown> {
  const exports = await loadModule(module);
  const candidate = exports[name] ?? exports.default;
  if (typeof candidate === "function") return candidate as (...args: never[]) => unknown;
  const found = Object.keys(exports).join(", ") || "nothing";
  throw new InputError(
    `The ${what} module ${module} must export a function as default or as "${name}"; it exports ${found}`,
  );
}

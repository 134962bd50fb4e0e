/** A dry run of a configuration whose model is on a server: everything is checked that needs no network and no key. */
import { type ConfigProblem, formatPath } from "../config/errors.js";
import type { RunConfig } from "../config/schema.js";
import { loadUserModule } from "../config/user-module.js";
import { resolveCritic } from "../feedback/critique/resolve.js";
import { resolveRewards } from "../feedback/reward/resolve.js";
import type { PolicyInfo } from "../policy/policy.js";
import { plannedTinkerInfo } from "../policy/tinker-open.js";
import { loadTextCodec } from "../text/codec.js";
import { checkCapabilities, checkCritic, checkQuestions } from "../trainer/check.js";
import { type PreparedRun, prepareRun, tokenizerDirectoryOf } from "./prepare.js";

export interface RemotePlan {
  /** null where data or tokenizer are not here. */
  readonly run: PreparedRun | null;
  readonly info: PolicyInfo;
  /** What only a real run, or a run on another machine, can check. */
  readonly unchecked: readonly string[];
}

/**
 * @param missing files and directories of the configuration that do not exist here
 * @throws InputError on the first thing that is wrong
 */
export async function planRemoteRun(
  config: RunConfig & { readonly engine: Extract<RunConfig["engine"], { type: "tinker" }> },
  missing: readonly ConfigProblem[],
): Promise<RemotePlan> {
  const { engine } = config;
  const info = plannedTinkerInfo(engine);
  const unchecked = missing.map(({ path, message }) => `${formatPath(path)}: ${message}`);
  let run: PreparedRun | null = null;
  if (missing.length === 0) {
    run = await prepareRun(config);
    checkCritic(config, run.critic);
    checkQuestions(run.questions, run.codec, config, info);
  } else {
    await resolveRewards(config.reward, (file) => loadUserModule(file));
    await resolveCritic(config.critique, (file) => loadUserModule(file));
    const named = (problem: ConfigProblem) => problem.path[0] === "tokenizer";
    if (!missing.some(named)) loadTextCodec(tokenizerDirectoryOf(config));
  }
  checkCapabilities(config, info);
  if (engine.dialect === "auto")
    unchecked.push("engine.dialect is auto: checked as hosted, the server is asked at the start");
  if (engine.contextLength === undefined)
    unchecked.push("whether the longest prompt fits: engine.contextLength is not set, the server tells it");
  unchecked.push(`whether ${engine.baseUrl} answers, accepts TINKER_API_KEY and serves ${engine.baseModel}`);
  if (config.critique.type === "teacher") {
    const { baseUrl, model } = config.critique;
    unchecked.push(`whether ${baseUrl} answers, accepts the key and serves ${model}`);
  }
  return { run, info, unchecked };
}

/** A run as TensorBoard event files: live, as a sink of its events, or from a run directory at any time. */
import { basename, join, resolve } from "node:path";
import { stringify } from "yaml";
import { InputError } from "../../config/errors.js";
import type { EventSink, RunEvent } from "../../run/events.js";
import { readEvaluations, readEvents, readMetrics, readRunConfig, readStatus } from "../../run/readers.js";
import { EventFile } from "./event-file.js";
import {
  hyperParametersEvent,
  restartEvent,
  scalarsEvent,
  sessionEndEvent,
  textEvent,
  versionEvent,
} from "./events.js";
import { evaluationScalars, hyperParameters, metricScalars } from "./scalars.js";

export const TENSORBOARD_DIRECTORY = "tensorboard";

/**
 * Writes `tensorboard/` in the run directory. At the start of a run, a resumed one as well, the file is begun anew from
 * the records: whatever was undone or written without this sink, it then says what metrics.jsonl says.
 */
export function tensorBoardSink(runDirectory: string): EventSink {
  let file: EventFile | undefined;
  const end = async (succeeded: boolean) => {
    await file?.append(sessionEndEvent(now(), succeeded));
    await file?.close();
    file = undefined;
  };
  return async (event: RunEvent) => {
    switch (event.type) {
      case "run-started":
        file = await EventFile.begin(join(runDirectory, TENSORBOARD_DIRECTORY), await history(runDirectory));
        return;
      case "step-finished":
        await file?.append(scalarsEvent(now(), event.step, metricScalars(event.metrics)));
        return;
      case "evaluation":
        await file?.append(scalarsEvent(now(), event.step, evaluationScalars(event.result)));
        return;
      case "run-finished":
        return end(true);
      case "run-interrupted":
      case "run-failed":
        return end(false);
      case "phase":
      case "checkpoint":
      case "warning":
        return;
      default:
        throw new RangeError(`unknown event ${JSON.stringify(event satisfies never)}`);
    }
  };
}

/**
 * Writes the event file of a run that is over, or of one that goes on elsewhere into another directory. Returns its path.
 * @throws InputError if the run is writing the directory itself, Error if there is no run
 */
export async function exportTensorBoard(
  runDirectory: string,
  directory = join(runDirectory, TENSORBOARD_DIRECTORY),
): Promise<string> {
  const events = await history(runDirectory);
  const status = await readStatus(runDirectory);
  if (status?.state === "running" && resolve(directory) === resolve(runDirectory, TENSORBOARD_DIRECTORY)) {
    throw new InputError(`${runDirectory} is being trained and may write ${directory} itself; give another directory`);
  }
  const ended = (await readEvents(runDirectory)).findLast(({ type }) =>
    /^run-(finished|interrupted|failed)$/.test(type),
  );
  const last = ended === undefined ? [] : [sessionEndEvent(seconds(ended.time), ended.type === "run-finished")];
  const file = await EventFile.begin(directory, [...events, ...last]);
  await file.close();
  return file.path;
}

/** All events of the records there are. @throws Error if the directory holds no run */
async function history(runDirectory: string): Promise<Buffer[]> {
  const config = await readRunConfig(runDirectory);
  const metrics = await readMetrics(runDirectory);
  const evaluations = await readEvaluations(runDirectory);
  const start = metrics[0] === undefined ? now() : seconds(metrics[0].time);
  return [
    versionEvent(start),
    restartEvent(start, 0),
    hyperParametersEvent(start, basename(resolve(runDirectory)), hyperParameters(config)),
    textEvent(start, 0, "config", `\`\`\`yaml\n${stringify(config)}\`\`\``),
    ...metrics.map((record) => scalarsEvent(seconds(record.time), record.step, metricScalars(record))),
    ...evaluations.map((record) => scalarsEvent(seconds(record.time), record.step, evaluationScalars(record))),
  ];
}

function now(): number {
  return Date.now() / 1000;
}

function seconds(time: string): number {
  return Date.parse(time) / 1000;
}

/** A critic that is a user's function: where a program can see the error, no language model is needed. */

import { mapConcurrent } from "../../rollout/concurrency.js";
import type { Critique } from "../../rollout/records.js";
import { type Critic, type CritiqueRequest, fallbackCritique } from "./critic.js";

const CALLS_IN_FLIGHT = 64;

/** Writes the critique of one response (right or wrong: see `response.reward.correct`). */
export type CritiqueFunction = (request: CritiqueRequest) => string | Promise<string>;

/** A function that throws or returns no text gives the `simple_gt` sentence instead, with the reason. */
export function createProgramCritic(write: CritiqueFunction): Critic {
  return {
    critique: (requests, options) =>
      mapConcurrent(requests, CALLS_IN_FLIGHT, (request) => writeOne(write, request), options?.signal),
  };
}

async function writeOne(write: CritiqueFunction, request: CritiqueRequest): Promise<Critique> {
  try {
    const text: unknown = await write(request);
    if (typeof text !== "string") {
      return fallbackCritique(
        request,
        `the critique function returned ${text === null ? "null" : typeof text}, not a string`,
      );
    }
    if (text === "") return fallbackCritique(request, "the critique function returned an empty string");
    return { kind: "program", text };
  } catch (error) {
    return fallbackCritique(
      request,
      `the critique function threw: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

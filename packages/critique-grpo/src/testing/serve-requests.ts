/** What tests of the server send: a lesson for the tiny model, and requests as they are. */
import { request as httpRequest } from "node:http";
import { type Datum, float32Tensor, int64Tensor, type TrainingClient, textInput } from "@critique-grpo/tinker";
import type { RunningServer } from "../serve/index.js";

/** The fixture's tokens of a text. */
export const bytes = (text: string): number[] => [...Buffer.from(text)];
/** The fixture's end-of-sequence token. */
export const END = 257;

function supervised(prompt: string, answer: string): Datum {
  const tokens = [...bytes(prompt), ...bytes(answer), END];
  const targets = tokens.slice(1);
  return {
    modelInput: textInput(tokens.slice(0, -1)),
    lossFnInputs: {
      target_tokens: int64Tensor(targets),
      weights: float32Tensor(targets.map((_, i) => (i >= prompt.length - 1 ? 1 : 0))),
    },
  };
}
export const lesson = [supervised("1+1=", "2"), supervised("2+2=", "4")];

export async function train(training: TrainingClient, steps: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    // The pair is submitted without awaiting, as the service's own recipes do.
    const pass = training.forwardBackward(lesson, "cross_entropy");
    const applied = training.optimStep({ learningRate: 1e-2 });
    losses.push((await pass).metrics["loss:sum"]!);
    await applied;
  }
  return losses;
}

export async function logprobsOf(training: TrainingClient): Promise<number[]> {
  const { lossFnOutputs } = await training.forward(lesson, "cross_entropy");
  return lossFnOutputs.flatMap((output) => Array.from(output.logprobs!.data));
}

export interface RawAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: any JSON, looked at by matchers
  readonly json: any;
}

/** A request as it is, with any Host. */
export function rawRequest(
  { url, apiKey }: RunningServer,
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const options = { hostname, port, method, path, headers: { authorization: `Bearer ${apiKey}`, ...headers } };
    const request = httpRequest(options, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        resolve({ status: response.statusCode ?? 0, json: text === "" ? undefined : JSON.parse(text) });
      });
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

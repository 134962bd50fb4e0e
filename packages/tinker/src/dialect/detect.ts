import { asObject, type JsonObject } from "../codec/json.js";
import type { ForwardBackwardOutput } from "../protocol/training.js";
import { parseJson, type Transport } from "../transport/transport.js";
import type { DialectName } from "./dialect.js";

/** What a server says about itself before any model exists. */
export interface ServerFamily {
  readonly family: "skyrl" | "hosted";
  /** SkyRL: whether its training routes know seq_id, and thus recognise repetitions (versions after 0.3.0 do). */
  readonly repeatsAreSafe: boolean;
}

/**
 * SkyRL names itself at the root and publishes its schema; anything else is taken for the service's own semantics.
 * Sent with the usual retries: a dropped connection must not decide on the arithmetic.
 */
export async function detectFamily(transport: Transport, signal?: AbortSignal): Promise<ServerFamily> {
  const root = await readObject(transport, "/", signal);
  if (root?.name !== "Tinker API Mock") return { family: "hosted", repeatsAreSafe: true };
  return { family: "skyrl", repeatsAreSafe: schemaKnowsSeqId(await readObject(transport, "/openapi.json", signal)) };
}

/** The object at a path outside the API; undefined where there is none (some other site's front page). */
async function readObject(transport: Transport, path: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
  const response = await transport.submit(path, {
    method: "GET",
    timeoutMs: 10_000,
    accepted: [301, 302, 307, 308, 400, 401, 403, 404, 405, 406],
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status !== 200) return undefined;
  try {
    return asObject(parseJson(response, path), path);
  } catch {
    return undefined;
  }
}

function schemaKnowsSeqId(schema: JsonObject | undefined): boolean {
  const components = schema?.components as
    | { schemas?: Record<string, { properties?: object } | undefined> }
    | undefined;
  return "seq_id" in (components?.schemas?.OptimStepRequest?.properties ?? {});
}

/** SkyRL's back ends by the output of a forward pass: only the JAX one reports elementwise losses there. */
export function backendFromForward(output: ForwardBackwardOutput): DialectName {
  return output.lossFnOutputs[0]?.elementwise_loss !== undefined ? "skyrl-jax" : "skyrl-train";
}

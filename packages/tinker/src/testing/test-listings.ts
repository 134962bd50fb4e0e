import { formatCheckpointPath } from "../protocol/paths.js";
import { type Checkpoint, Refusal, refuse, type ServedModel, type ServerBehaviour } from "./test-engine-types.js";

/** What the listings show. */
interface Stored {
  readonly behaviour: ServerBehaviour;
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly checkpoints: Map<string, Checkpoint>;
}

/** Training runs, checkpoints, archives and deletions; undefined for any other route. */
export function answerListing(
  engine: Stored,
  method: string,
  path: string,
): { readonly status?: number; readonly body?: unknown; readonly location?: string } | undefined {
  const runs = [...engine.models.values()].map((model) => ({
    training_run_id: model.id,
    base_model: "bigram",
    model_owner: "test",
    is_lora: true,
    lora_rank: model.rank,
    last_request_time: "2026-01-01T00:00:00Z",
  }));
  if (path === "training_runs")
    return { body: { training_runs: runs, cursor: { offset: 0, limit: 20, total_count: runs.length } } };
  const match = /^training_runs\/([^/]+)(?:\/checkpoints(?:\/(.+))?)?$/.exec(path);
  if (match === null) return undefined;
  const runId = decodeURIComponent(match[1]!);
  if (!path.includes("/checkpoints"))
    return { body: runs.find((run) => run.training_run_id === runId) ?? refuse(404, "no such run") };
  if (match[2] === undefined) {
    const found = [...engine.checkpoints.values()].filter(
      (checkpoint) => checkpoint.runId === runId && checkpoint.state !== undefined,
    );
    return {
      body: {
        checkpoints: found.map((checkpoint) => ({
          checkpoint_id:
            engine.behaviour.dialect === "hosted" ? `${checkpoint.kind}/${checkpoint.name}` : checkpoint.name,
          checkpoint_type: checkpoint.kind === "weights" ? "training" : "sampler",
          time: "2026-01-01T00:00:00Z",
          tinker_path: formatCheckpointPath(checkpoint),
        })),
      },
    };
  }
  if (match[2].endsWith("/archive")) return { location: `/archives/${encodeURIComponent(runId)}/${match[2]}.tar.gz` };
  const [kind, name] = match[2].split("/");
  if (method !== "DELETE") throw new Refusal(405, "Method Not Allowed");
  if (!engine.checkpoints.delete(`${runId}/${kind}/${name}`)) throw new Refusal(404, "no such checkpoint");
  return { status: 200, body: {} };
}

/** The server over a run that training wrote: who is let in, and that its answers are what the run directory says. */
import { mkdtempSync, rmSync } from "node:fs";
import { appendFile, mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type {
  Comparison,
  CritiqueReport,
  EvaluationsAnswer,
  GroupDetail,
  GroupPage,
  ProblemHistory,
  ProblemPage,
  RunListing,
  RunOverview,
  SeriesAnswer,
  TokensAnswer,
} from "@critique-grpo/dashboard";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMetrics, readRollouts } from "../../run/readers.js";
import type { RolloutRecord } from "../../run/records.js";
import { writeCopyRun } from "../../testing/copy-run.js";
import { type RunningDashboard, startDashboard } from "./server.js";

const STEPS = 6;
let root: string;
let dashboard: RunningDashboard;
let records: RolloutRecord[];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "dashboard-"));
  await writeCopyRun(join(root, "copy", "critique"), { overrides: { steps: STEPS } });
  await writeCopyRun(join(root, "copy", "plain"), {
    overrides: { steps: 2, optimizer: { learningRate: 0.01, weightDecay: 0 } },
  });
  dashboard = await startDashboard({ runs: root });
  records = (
    await Promise.all(Array.from({ length: STEPS }, (_, i) => readRollouts(join(root, "copy", "critique"), i + 1)))
  ).flat();
});
afterAll(async () => {
  await dashboard.close();
  rmSync(root, { recursive: true });
});

async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${dashboard.url}api/${path}`);
  const body = (await response.json()) as T;
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return body;
}

const run = <T>(path: string) => get<T>(`runs/copy%2Fcritique/${path}`);

/** Waits until the background has read every file. */
async function indexed<T extends { readonly index: { readonly done: boolean } }>(path: string): Promise<T> {
  await expect.poll(async () => (await run<T>(path)).index.done).toBe(true);
  return run<T>(path);
}

/** A request as it is, which fetch would tidy up. */
function raw(
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<{ status: number; body: string }> {
  const { hostname: host, port } = new URL(dashboard.url);
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, headers }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on("end", () => resolve({ status: response.statusCode!, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

describe("who is let in", () => {
  const path = () => new URL(dashboard.url).pathname;

  it("only the holder of the token", async () => {
    const { origin } = new URL(dashboard.url);
    for (const without of ["/", "/index.html", "/api/runs", "/wrong-token/api/runs", `${path().slice(0, -3)}/`]) {
      expect((await fetch(origin + without)).status, without).toBe(401);
    }
    expect((await fetch(dashboard.url)).status).toBe(200);
  });

  it("not by another name, from another site, or to write", async () => {
    const { port } = new URL(dashboard.url);
    const host = `127.0.0.1:${port}`;
    expect((await raw(path(), { host: "rebinding.example" })).status).toBe(421);
    expect((await raw(path(), { host, origin: "http://evil.example" })).status).toBe(403);
    expect((await raw(path(), { host, origin: "null" })).status).toBe(403);
    // Another service on this machine is another site.
    expect((await raw(path(), { host, origin: "http://127.0.0.1:1" })).status).toBe(403);
    expect(
      (await raw(`${path()}api/runs`, { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" })).status,
    ).toBe(403);
    expect((await raw(path(), { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).status).toBe(
      200,
    );
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
      expect((await raw(path(), { host }, method)).status).toBe(405);
    expect((await raw(path(), { host, origin: `http://${host}` })).status).toBe(200);
  });

  it("not out of the directory", async () => {
    await writeFile(join(root, "..", `secret-${process.pid}`), "x");
    for (const way of [
      "../secret",
      "..%2fsecret",
      "%2e%2e/secret",
      "..%5csecret",
      "api/runs/../../secret",
      "api/runs/..%2f..%2fetc/overview",
      "api/runs/%2e%2e%2fx/overview",
      "assets/../../package.json",
    ]) {
      expect((await raw(path() + way)).status, way).toBe(400);
    }
    for (const way of [
      "api/runs/%2Fetc/overview",
      "api/runs/copy/overview",
      "package.json",
      "api/runs/copy%2Fcritique/rollouts",
      "api/x",
    ]) {
      expect((await raw(path() + way)).status, way).toBe(404);
    }
    rmSync(join(root, "..", `secret-${process.pid}`));
  });

  it("with a policy under which nothing but the page itself runs", async () => {
    const { headers } = await fetch(dashboard.url);
    const policy = headers.get("content-security-policy")!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    // The same for what the API says, errors included.
    expect((await fetch(`${dashboard.url}api/nothing`)).headers.get("content-security-policy")).toBe(policy);
  });

  it("names what is wrong with a parameter, and does not show a path", async () => {
    const response = await raw(`${path()}api/runs/copy%2Fcritique/groups?flag=%3Cscript%3E`);
    expect(response.status).toBe(400);
    expect(response.body).toContain("must be one of fixed");
    expect((await raw(`${path()}api/runs/copy%2Fcritique/groups?limit=1e9`)).status).toBe(400);
    expect((await raw(`${path()}api/runs/copy%2Fcritique/groups/1/99`)).status).toBe(404);
    expect((await raw(`${path()}api/runs/copy%2Fcritique/groups/77/0`)).status).toBe(404);
    expect((await raw(`${path()}api/runs/%/overview`)).status).toBe(400);
  });
});

describe("a run", () => {
  it("is listed with its state, its newest numbers and its curve", async () => {
    const { runs } = await get<RunListing>("runs");
    expect(runs.map(({ id }) => id).sort()).toEqual(["copy/critique", "copy/plain"]);
    const found = runs.find(({ id }) => id === "copy/critique")!;
    const metrics = await readMetrics(join(root, "copy", "critique"));
    expect(found).toMatchObject({
      state: "finished",
      step: STEPS,
      steps: STEPS,
      task: "train",
      reward: metrics.at(-1)!.reward,
    });
    expect(found.sparkline).toHaveLength(STEPS);
  });

  it("has curves that are the metrics it wrote", async () => {
    const metrics = await readMetrics(join(root, "copy", "critique"));
    const { series, bucketSteps } = await run<SeriesAnswer>(
      "series?metric=reward&metric=refinement%2Faccuracy&metric=nothing",
    );
    expect(bucketSteps).toBe(1);
    expect(series.map(({ metric }) => metric)).toEqual(["reward", "refinement/accuracy"]);
    series.forEach(({ metric, points }) => {
      expect(points.map(([step]) => step)).toEqual(metrics.map(({ step }) => step));
      points.forEach(([, mean], i) => {
        const written = metrics[i]![metric] as number | null;
        if (written === null) expect(mean).toBeNull();
        else expect(mean).toBeCloseTo(written, 5);
      });
    });
    const part = await run<SeriesAnswer>("series?metric=reward&from=2&to=4");
    expect(part.series[0]!.points.map(([step]) => step)).toEqual([2, 3, 4]);
    const file = await (
      await fetch(`${dashboard.url}api/runs/copy%2Fcritique/series.csv?metric=reward&metric=entropy`)
    ).text();
    const [header, ...lines] = file.trim().split("\n");
    expect(header).toBe("step,reward,entropy");
    expect(lines.map((line) => Number(line.split(",")[1]))).toEqual(metrics.map(({ reward }) => reward));
  });

  it("has an overview with events, checkpoints and configuration", async () => {
    const overview = await run<RunOverview>("overview");
    expect(overview.events.map(({ type }) => type)).toContain("run-finished");
    expect(overview.checkpoints).toContain(STEPS);
    expect(overview.config).toContain("questionsPerStep: 4");
    expect(overview.rolloutSteps).toEqual({ count: STEPS, first: 1, last: STEPS });
    expect(overview.metrics).toContain("tokens_per_second");
  });

  it("is crashed, not running, where its process is gone", async () => {
    const directory = join(root, "gone");
    await mkdir(directory);
    await writeFile(join(directory, "config.yaml"), "steps: 9\n");
    const status = {
      state: "running",
      step: 3,
      steps: 9,
      pid: 2 ** 22 + 1,
      host: hostname(),
      heartbeatAt: new Date().toISOString(),
    };
    await writeFile(join(directory, "status.json"), JSON.stringify(status));
    // A torn line is what a crash leaves.
    await writeFile(join(directory, "metrics.jsonl"), '{"step":1,"reward":0.5}\n{"step":2,"rew');
    await expect.poll(async () => (await get<RunListing>("runs")).runs.length, { timeout: 5000 }).toBe(3);
    const overview = await get<RunOverview>("runs/gone/overview");
    expect(overview).toMatchObject({ state: "crashed", reward: 0.5, lastStep: 1 });
    expect(overview.health.map(({ kind }) => kind)).toEqual(["crashed"]);
    rmSync(directory, { recursive: true });
  });

  it("is not found through a link that leads elsewhere", async () => {
    await symlink(join(root, "copy", "plain"), join(root, "linked"));
    const fresh = await startDashboard({ runs: root });
    const { runs } = (await (await fetch(`${fresh.url}api/runs`)).json()) as RunListing;
    expect(runs.map(({ id }) => id)).not.toContain("linked");
    await fresh.close();
    rmSync(join(root, "linked"));
  });

  it("is compared with another, key by key", async () => {
    const comparison = await get<Comparison>("compare?run=copy%2Fcritique&run=copy%2Fplain");
    expect(comparison.differences).toContainEqual({ key: "optimizer.learningRate", values: ["0.05", "0.01"] });
    expect(comparison.differences).toContainEqual({ key: "steps", values: [String(STEPS), "2"] });
    expect(comparison.metrics).toContain("refinement/fix_rate");
  });
});

describe("groups", () => {
  it("of a step are there at once, with what happened", async () => {
    const page = await run<GroupPage>("groups?step=3");
    const written = records.filter(({ step }) => step === 3);
    expect(page.groups.map(({ questionId }) => questionId)).toEqual(written.map(({ question }) => question.id));
    page.groups.forEach((group, i) => {
      const { initial, refinements } = written[i]!;
      expect(group.initialCorrect).toBe(initial.filter(({ reward }) => reward.correct).length);
      expect(group.refinementCorrect).toBe(refinements.filter(({ reward }) => reward.correct).length);
    });
  });

  it("of all steps come newest first, page after page, each once", async () => {
    const { total, counts } = await indexed<GroupPage>("groups");
    expect(total).toBe(records.length);
    expect(counts["all-wrong"]).toBe(
      records.filter(({ initial }) => initial.every(({ reward }) => !reward.correct)).length,
    );
    const seen: string[] = [];
    let cursor: string | null = "0";
    while (cursor !== null) {
      const page: GroupPage = await run<GroupPage>(`groups?limit=7&cursor=${cursor}`);
      seen.push(...page.groups.map(({ step, line }) => `${step} ${line}`));
      cursor = page.next;
    }
    expect(new Set(seen).size).toBe(records.length);
    expect(seen[0]).toBe(`${STEPS} 3`);
  });

  it("are filtered by what happened to them", async () => {
    await indexed<GroupPage>("groups");
    const isFixed = ({ initial, refinements }: RolloutRecord) =>
      refinements.some(({ refines, reward }) => reward.correct && !initial[refines]!.reward.correct);
    const { groups, matching } = await run<GroupPage>("groups?flag=fixed&flag=all-wrong&limit=200");
    const expected = records.filter(
      (record) => isFixed(record) && record.initial.every(({ reward }) => !reward.correct),
    );
    expect(expected.length).toBeGreaterThan(0);
    expect(matching).toBe(expected.length);
    expect(groups).toHaveLength(expected.length);
    expect(groups.every(({ flags }) => flags.includes("fixed"))).toBe(true);
  });

  it("are searched in every text", async () => {
    await indexed<GroupPage>("groups");
    const gold = records[0]!.question.gold;
    const { groups, matching } = await run<GroupPage>(`groups?text=${encodeURIComponent(`V${gold}`)}&limit=200`);
    const expected = records.filter(({ initial }) =>
      initial.some(({ critique }) => critique?.text.includes(`V${gold}`)),
    );
    expect(matching).toBeNull();
    expect(groups.map(({ step, line }) => `${step} ${line}`).sort()).toEqual(
      expected
        .map(
          ({ step, question }) =>
            `${step} ${records.filter((other) => other.step === step).findIndex((other) => other.question.id === question.id)}`,
        )
        .sort(),
    );
  });

  it("are shown whole, and their tokens with what training made of them", async () => {
    const record = records.find(({ refinements }) => refinements.some(({ kept }) => kept))!;
    const line = records.filter(({ step }) => step === record.step).indexOf(record);
    const group = await run<GroupDetail>(`groups/${record.step}/${line}`);
    expect(group.question).toMatchObject({ id: record.question.id, gold: record.question.gold });
    expect(group.initial.map(({ text, advantage }) => ({ text, advantage }))).toEqual(
      record.initial.map(({ text, advantage }) => ({ text, advantage })),
    );
    expect(group.initial[0]!.critique?.text).toBe(record.initial[0]!.critique?.text);
    const kept = record.refinements.find(({ kept: isKept }) => isKept)!;
    const { tokens, shaping, problem } = await run<TokensAnswer>(
      `groups/${record.step}/${line}/tokens?kind=refinement&index=${kept.index}`,
    );
    const p = Math.exp(kept.logprobs[0]!);
    expect(shaping).toBe("f(p) = p / (p + 0.1)");
    expect(tokens[0]).toMatchObject({ id: kept.tokens[0], text: null, logprob: kept.logprobs[0] });
    expect(tokens[0]!.shaped).toBeCloseTo(p / (p + 0.1), 12);
    expect(tokens[0]!.pull).toBeCloseTo((kept.advantage! * 0.1 * p) / (p + 0.1) ** 2, 12);
    // The copy task has no tokenizer files.
    expect(problem).toContain("no tokenizer.json");
  });
});

describe("problems, critiques, evaluations", () => {
  it("a question through the run: when it was solved, and by which refinement", async () => {
    const { problems, total } = await indexed<ProblemPage>("problems");
    expect(total).toBe(new Set(records.map(({ question }) => question.id)).size);
    for (const problem of problems) {
      const own = records.filter(({ question }) => question.id === problem.questionId);
      const solved = own.find(({ initial }) => initial.some(({ reward }) => reward.correct));
      const refined = own.find(({ refinements }) => refinements.some(({ reward }) => reward.correct));
      expect(problem.visits).toBe(own.length);
      expect(problem.firstSolved).toBe(solved?.step ?? null);
      expect(problem.firstRefined).toBe(refined?.step ?? null);
    }
    const refined = problems.find(({ firstRefined }) => firstRefined !== null)!;
    const history = await run<ProblemHistory>(`problem?question=${refined.questionId}`);
    expect(history.firstRefined).toMatchObject({ step: refined.firstRefined, text: refined.gold });
    expect(history.firstRefined!.from!.critique).toContain(refined.gold);
    expect(history.visits).toHaveLength(refined.visits);
  });

  it("what critics said, and how often it helped", async () => {
    const { critics } = await indexed<CritiqueReport>("critiques");
    const critiques = records.flatMap(({ initial }) => initial.filter(({ critique }) => critique !== undefined));
    const ofWrong = records.flatMap(({ initial, refinements }) =>
      refinements.filter(({ refines }) => !initial[refines]!.reward.correct),
    );
    expect(critics).toHaveLength(1);
    expect(critics[0]).toMatchObject({
      kind: "program",
      critiques: critiques.length,
      failures: 0,
      refinedWrong: ofWrong.length,
      fixed: ofWrong.filter(({ reward }) => reward.correct).length,
      verdicts: null,
      latencyMs: null,
    });
  });

  it("evaluations of the run and of its model, with intervals", async () => {
    const directory = join(root, "copy", "plain");
    const estimate = { value: 0.5, low: 0.4, high: 0.6 };
    const source = {
      dataSource: "copy",
      questions: 8,
      pass1: estimate,
      passAt: [
        { k: 1, ...estimate },
        { k: 4, ...estimate },
      ],
      persistentFailures: 2,
      meanReward: 0.5,
    };
    const summary = {
      schemaVersion: 1,
      ...source,
      dataSource: "all",
      samples: 4,
      temperature: 0.6,
      truncated: 0,
      sources: [source],
      lengths: { mean: 3, min: 1, max: 9 },
    };
    await appendFile(
      join(directory, "evaluations.jsonl"),
      `${JSON.stringify({ ...summary, step: 2, time: "2026-01-01T00:00:00Z" })}\n{"torn`,
    );
    await mkdir(join(directory, "evaluations", "math500"), { recursive: true });
    await writeFile(
      join(directory, "evaluations", "math500", "summary.json"),
      JSON.stringify({ ...summary, majority: estimate }),
    );
    const { evaluations } = await get<EvaluationsAnswer>("runs/copy%2Fplain/evaluations");
    expect(evaluations.map(({ step, name }) => [step, name])).toEqual([
      [2, null],
      [null, "math500"],
    ]);
    expect(evaluations[0]!.benchmarks.map(({ name }) => name)).toEqual(["all", "copy"]);
    expect(evaluations[0]!.benchmarks[1]!.passAt[1]).toEqual({ k: 4, ...estimate });
    expect(evaluations[1]!.benchmarks[0]!.majority).toEqual(estimate);
  });
});

describe("a run that is cut back and goes on", () => {
  it("is read anew, so that nothing of the lost steps stays", async () => {
    const directory = join(root, "cut");
    const stop = new AbortController();
    const overrides = { steps: 5, checkpoint: { every: 2 } };
    await writeCopyRun(directory, {
      overrides,
      signal: stop.signal,
      sinks: [(event) => void (event.type === "step-finished" && event.step === 3 && stop.abort())],
    });
    const fresh = await startDashboard({ runs: directory });
    const read = async <T>(path: string) => (await (await fetch(`${fresh.url}api/runs/cut/${path}`)).json()) as T;
    await expect.poll(async () => (await read<GroupPage>("groups")).total).toBe(12);
    // As a kill would leave it: the checkpoint of step 3 is gone, the records of step 3 are there.
    rmSync(join(directory, "checkpoints", "step-000003"), { recursive: true });
    await writeCopyRun(directory, { overrides, resume: true });
    await expect.poll(async () => (await read<GroupPage>("groups")).total).toBe(20);
    const { series } = await read<SeriesAnswer>("series?metric=reward");
    const metrics = await readMetrics(directory);
    expect(series[0]!.points.map(([step]) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(series[0]!.points.map(([, mean]) => mean)).toEqual(
      metrics.map(({ reward }) => Number((reward as number).toPrecision(6))),
    );
    const { problems } = await read<ProblemPage>("problems");
    expect(problems.reduce((sum, { visits }) => sum + visits, 0)).toBe(20);
    await fresh.close();
  });

  it("also where the file is longer than before when it is looked at again", async () => {
    const directory = join(root, "longer");
    await writeCopyRun(directory, { overrides: { steps: 3 } });
    const fresh = await startDashboard({ runs: directory });
    const reward = async () => {
      const answer = (await (await fetch(`${fresh.url}api/runs/longer/series?metric=reward`)).json()) as SeriesAnswer;
      return answer.series[0]!.points.map(([, mean]) => mean);
    };
    expect(await reward()).toHaveLength(3);
    const path = join(directory, "metrics.jsonl");
    const [first] = (await readFile(path, "utf8")).split("\n");
    await truncate(path, Buffer.byteLength(`${first}\n`));
    for (const step of [2, 3, 4, 5])
      await appendFile(path, `${JSON.stringify({ ...JSON.parse(first!), step, reward: step })}\n`);
    expect(await reward()).toEqual([expect.any(Number), 2, 3, 4, 5]);
    await fresh.close();
  });
});

it("refuses to start on what is no directory", async () => {
  await expect(startDashboard({ runs: join(root, "missing") })).rejects.toThrow("is no directory");
});

import { type CommandOptions, oursCommand, peerCommand, sgemmCommand } from "./commands.js";
import { interleave, type SideResult } from "./interleave.js";
import type { BenchmarkRow } from "./rows/index.js";
import type { SideCommand } from "./side.js";
import { median } from "./statistics.js";

export interface SideSummary {
  readonly settings: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Seconds of each measured round, in order. */
  readonly seconds: readonly number[];
  readonly medianSeconds: number;
  readonly medianCpuSeconds: number;
  readonly tokensPerSecond: number;
  readonly peakBytes: number;
}

export interface BenchmarkResult {
  readonly name: string;
  readonly title: string;
  readonly peerTitle: string;
  readonly wantedRatio: number;
  readonly ours: SideSummary;
  readonly peer: SideSummary;
  /** Our speed over the peer's, of each pair of rounds; > 1: ours is faster. */
  readonly ratios: readonly number[];
  readonly medianRatio: number;
  /** The same in processor time: on a busy machine with one thread each, what wall time would be on an idle one. */
  readonly medianCpuRatio: number;
  /** Training only: arithmetic a second over OpenBLAS sgemm's, measured in the same rounds. */
  readonly sgemm?: SgemmShare;
}

export interface SgemmShare {
  readonly peakGflops: number;
  readonly ours: number;
  readonly peer: number;
  /** Ours in processor time. */
  readonly oursInCpuTime: number;
  readonly versions: Readonly<Record<string, string>>;
}

export interface MeasureOptions extends CommandOptions {
  readonly rounds: number;
  readonly onProgress: (text: string) => void;
}

/** Both sides start from the same weights and see the same tokens; float32 sums in another order differ less than this. */
const LOSS_TOLERANCE = 1e-3;

export async function measure(row: BenchmarkRow, options: MeasureOptions): Promise<BenchmarkResult> {
  const commands: Record<string, SideCommand> = {
    ours: oursCommand(row, options),
    peer: peerCommand(row, await fastestVariant(row, options), options),
    ...(row.flops !== undefined ? { sgemm: sgemmCommand(options) } : {}),
  };
  const results = await interleave(commands, options.rounds, options.onProgress);
  const ours = results.ours!;
  const peer = results.peer!;
  requireSameWork(row.name, ours, peer);
  const ratios = ours.rounds.map((round, i) => peer.rounds[i]!.seconds / round.seconds);
  return {
    name: row.name,
    title: row.title,
    peerTitle: row.peerTitle,
    wantedRatio: row.wantedRatio,
    ours: summarise(ours),
    peer: summarise(peer),
    ratios,
    medianRatio: median(ratios),
    medianCpuRatio: median(ours.rounds.map((round, i) => peer.rounds[i]!.cpuSeconds / round.cpuSeconds)),
    ...(row.flops !== undefined && results.sgemm
      ? { sgemm: sgemmShare(row.flops, { ours, peer, sgemm: results.sgemm }) }
      : {}),
  };
}

/** A quick run takes the first variant; otherwise the one with the shortest of two rounds. */
async function fastestVariant(row: BenchmarkRow, options: MeasureOptions): Promise<readonly string[]> {
  const variants = row.peerVariants ?? [[]];
  if (variants.length === 1 || options.quick) return variants[0]!;
  const commands = Object.fromEntries(
    variants.map((variant) => [`peer with ${variant.join(" ")}`, peerCommand(row, variant, options)]),
  );
  const results = await interleave(commands, 2, options.onProgress);
  const times = Object.values(results).map(({ rounds }) => Math.min(...rounds.map((round) => round.seconds)));
  return variants[times.indexOf(Math.min(...times))]!;
}

function requireSameWork(name: string, ours: SideResult, peer: SideResult): void {
  const [a, b] = [ours.warmUp, peer.warmUp];
  if (a.tokens !== b.tokens) throw new Error(`${name}: ours did ${a.tokens} tokens a round, the peer ${b.tokens}.`);
  if (a.loss === undefined || b.loss === undefined) return;
  if (!(Math.abs(a.loss - b.loss) < LOSS_TOLERANCE)) {
    throw new Error(`${name}: the first losses differ (ours ${a.loss}, peer ${b.loss}); the sides do different work.`);
  }
}

function summarise(result: SideResult): SideSummary {
  const seconds = result.rounds.map((round) => round.seconds);
  return {
    settings: result.settings,
    versions: result.versions,
    seconds,
    medianSeconds: median(seconds),
    medianCpuSeconds: median(result.rounds.map((round) => round.cpuSeconds)),
    tokensPerSecond: median(result.rounds.map((round) => (round.tokens ?? Number.NaN) / round.seconds)),
    peakBytes: Math.max(...result.rounds.map((round) => round.peakBytes)),
  };
}

/** @param flops of a round, the same on both sides. */
function sgemmShare(
  flops: number,
  { ours, peer, sgemm }: Readonly<Record<"ours" | "peer" | "sgemm", SideResult>>,
): SgemmShare {
  const peak = sgemm.rounds.map((round) => (round.flops ?? Number.NaN) / round.seconds);
  const share = (side: SideResult) => median(side.rounds.map((round, i) => flops / round.seconds / peak[i]!));
  const cpuShares = ours.rounds.map((round, i) => {
    const { flops: sgemmFlops = Number.NaN, cpuSeconds } = sgemm.rounds[i]!;
    return flops / round.cpuSeconds / (sgemmFlops / cpuSeconds);
  });
  return {
    peakGflops: median(peak) / 1e9,
    ours: share(ours),
    peer: share(peer),
    oursInCpuTime: median(cpuShares),
    versions: sgemm.versions,
  };
}

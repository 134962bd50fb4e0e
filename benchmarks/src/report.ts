import type { Machine } from "./machine.js";
import type { BenchmarkResult } from "./measure.js";

export interface Report {
  readonly schemaVersion: 1;
  readonly createdAt: string;
  readonly command: string;
  readonly machine: Machine;
  readonly rounds: number;
  /** Threads of both sides; null: what each takes by default. */
  readonly threads: number | null;
  readonly benchmarks: readonly BenchmarkResult[];
  /** Benchmarks that could not be measured, and why. */
  readonly failures: readonly { readonly name: string; readonly message: string }[];
}

/** Share of the machine's sgemm peak that training should reach. */
const WANTED_SGEMM_SHARE = 0.75;

/** The report as Markdown: one table row a benchmark, then what it was measured with. */
export function renderMarkdown(report: Report): string {
  const { machine } = report;
  const versions = Object.assign({}, ...report.benchmarks.flatMap((b) => [b.ours.versions, b.peer.versions])) as Record<
    string,
    string
  >;
  const blas = report.benchmarks.find((b) => b.sgemm)?.sgemm?.versions;
  const lines = [
    "| benchmark | ours | peer | ratio (lowest–highest) | in CPU time | wanted | memory, ours | memory, peer |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...report.benchmarks.flatMap(rows),
    ...report.failures.map((failure) => `| ${failure.name} | failed | | | | | | |`),
    "",
    `${machine.cpu}, ${machine.cores} cores, ${gibibytes(machine.memoryBytes)} GiB, ${machine.platform}; load average before the first measurement: ${machine.loadAverage.toFixed(2)}${machine.loadAverage > 0.5 ? " (**the machine was not idle**: believe the ratios, not the absolute figures)" : ""}.`,
    `${Object.entries({ ...versions, ...blas })
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
    ...report.benchmarks.map((b) => `Peer of ${b.name}: ${b.peerTitle}, ${b.peer.settings}. Ours: ${b.ours.settings}.`),
    `Median of ${report.rounds} interleaved rounds${report.threads === null ? "" : `, threads: ${report.threads}`}; ratio: median over pairs of rounds of our speed over the peer's. In CPU time: the same with the processor time of all threads, which other work on the machine changes little. Memory: highest resident size of the process.`,
    `Measured ${report.createdAt} with \`${report.command}\`.`,
  ];
  return `${lines.join("\n")}\n`;
}

function rows(result: BenchmarkResult): string[] {
  const cells = (...values: string[]) => `| ${values.join(" | ")} |`;
  const speed = (side: BenchmarkResult["ours"]) =>
    `${Math.round(side.tokensPerSecond).toLocaleString("en")} tokens/s (${side.medianSeconds.toFixed(2)} s)`;
  const ratio = `**${result.medianRatio.toFixed(2)}×** (${Math.min(...result.ratios).toFixed(2)}–${Math.max(...result.ratios).toFixed(2)})`;
  const table = [
    cells(
      result.title,
      speed(result.ours),
      speed(result.peer),
      ratio,
      `${result.medianCpuRatio.toFixed(2)}×`,
      `≥ ${Number(result.wantedRatio.toFixed(2))}×`,
      `${gibibytes(result.ours.peakBytes)} GiB`,
      `${gibibytes(result.peer.peakBytes)} GiB`,
    ),
  ];
  if (result.sgemm) {
    const { ours, peer, oursInCpuTime, peakGflops } = result.sgemm;
    const wanted = `≥ ${WANTED_SGEMM_SHARE * 100} %`;
    const title = `${result.name}: share of the sgemm peak (OpenBLAS, 1024³: ${peakGflops.toFixed(0)} GFLOPS)`;
    table.push(cells(title, `**${percent(ours)}**`, percent(peer), "", percent(oursInCpuTime), wanted, "", ""));
  }
  return table;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function gibibytes(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(2);
}

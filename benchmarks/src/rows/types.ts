import type { ModelName } from "../models.js";

/** One side of a comparison: a program that speaks the protocol of peers/side.py. */
export type SideProgram =
  /** A script of `ours/`, run by Node. */
  | { readonly ours: string; readonly arguments?: readonly string[] }
  /** A script of `peers/`, run by the Python of the peers. */
  | { readonly python: string };

/** A row of the table: our side against a peer. */
export interface BenchmarkRow {
  /** What `--only` names it. */
  readonly name: string;
  readonly title: string;
  readonly model: ModelName;
  /** Arguments after the model directory; both sides take the same. */
  readonly arguments: readonly (number | string)[];
  readonly ours: SideProgram;
  readonly peer: SideProgram;
  readonly peerTitle: string;
  /**
   * Settings of the peer that only a new process can take: arguments after the common ones. Where there are several, the
   * fastest is found first.
   */
  readonly peerVariants?: readonly (readonly string[])[];
  /** Our speed over the peer's that the project asks of itself. */
  readonly wantedRatio: number;
  /** Floating-point operations of a round: asks for another row with the share of the machine's sgemm peak. */
  readonly flops?: number;
}

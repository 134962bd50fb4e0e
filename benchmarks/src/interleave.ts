import { setTimeout as sleep } from "node:timers/promises";
import { type ReadyMessage, type RoundMessage, Side, type SideCommand } from "./side.js";

export interface SideResult extends Omit<ReadyMessage, "ready"> {
  /** The round before the measured ones; its times are not used, its loss is. */
  readonly warmUp: RoundMessage;
  readonly rounds: readonly RoundMessage[];
}

/** Worker threads of a library spin for a moment after its work; they must not run in the other side's time. */
const SETTLE_MS = 300;

/**
 * Starts all sides, lets each do one round to warm up, then `rounds` rounds in turn (A B, B A, A B, …), so that whatever
 * else the machine does meets all of them alike. One side works at a time.
 */
export async function interleave<Name extends string>(
  commands: Readonly<Record<Name, SideCommand>>,
  rounds: number,
  onProgress: (text: string) => void,
): Promise<Record<Name, SideResult>> {
  const names = Object.keys(commands) as Name[];
  const started: { name: Name; side: Side; ready: ReadyMessage; messages: RoundMessage[] }[] = [];
  try {
    for (const name of names) {
      onProgress(`starting ${name}`);
      started.push({ name, ...(await Side.start(commands[name])), messages: [] });
    }
    for (let round = 0; round <= rounds; round++) {
      for (const { name, side, messages } of round % 2 === 0 ? started : [...started].reverse()) {
        await sleep(SETTLE_MS);
        const message = await side.round();
        messages.push(message);
        onProgress(
          `${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}, ${name}: ${message.seconds.toFixed(2)} s`,
        );
      }
    }
  } finally {
    await Promise.all(started.map(({ side }) => side.stop()));
  }
  const results = started.map(({ name, ready, messages }) => {
    const [warmUp, ...measured] = messages;
    return [name, { versions: ready.versions, settings: ready.settings, warmUp: warmUp!, rounds: measured }] as const;
  });
  return Object.fromEntries(results) as unknown as Record<Name, SideResult>;
}

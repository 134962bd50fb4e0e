import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";

/** The first line a side writes. */
export interface ReadyMessage {
  readonly ready: true;
  readonly versions: Readonly<Record<string, string>>;
  /** Which of its options the side runs with. */
  readonly settings: string;
}

/** What a side writes after a round of work. */
export interface RoundMessage {
  readonly seconds: number;
  /** Processor time of all threads of the process. */
  readonly cpuSeconds: number;
  /** Highest resident memory of the process so far. */
  readonly peakBytes: number;
  readonly tokens?: number;
  /** Floating-point operations done, where the side counts them itself (sgemm). */
  readonly flops?: number;
  /** Training loss of this round, where there is one. */
  readonly loss?: number;
}

export interface SideCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One child process that works when it is told to and is silent otherwise, so that rounds of two sides can alternate. */
export class Side {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: Interface;
  private readonly iterator: AsyncIterator<string>;
  private readonly exited: Promise<void>;
  private errors = "";
  private rounds = 0;

  private constructor(private readonly spec: SideCommand) {
    this.child = spawn(spec.command, spec.args, { env: { ...process.env, ...spec.env }, stdio: "pipe" });
    this.exited = new Promise((resolve) => {
      this.child.once("close", () => resolve());
      this.child.once("error", (error) => {
        this.errors += `${error.message}\n`;
        resolve();
      });
    });
    // A side that died is reported by the read that follows, not by the write.
    this.child.stdin.on("error", () => undefined);
    this.child.stderr.setEncoding("utf8");
    this.child.stderr.on("data", (text: string) => {
      this.errors = (this.errors + text).slice(-4000);
    });
    this.lines = createInterface({ input: this.child.stdout });
    this.iterator = this.lines[Symbol.asyncIterator]();
  }

  /** Starts the process and waits until it has loaded its model and chosen its settings. */
  static async start(spec: SideCommand): Promise<{ side: Side; ready: ReadyMessage }> {
    const side = new Side(spec);
    return { side, ready: await side.read<ReadyMessage>() };
  }

  /** @throws Error with the end of the side's standard error if it died instead. */
  async round(): Promise<RoundMessage> {
    this.child.stdin.write(`${JSON.stringify({ round: this.rounds++ })}\n`);
    return this.read<RoundMessage>();
  }

  async stop(): Promise<void> {
    this.child.stdin.end();
    const patience = setTimeout(() => this.child.kill("SIGKILL"), 20_000);
    await this.exited;
    clearTimeout(patience);
    this.lines.close();
  }

  private async read<T>(): Promise<T> {
    const next = await this.iterator.next();
    if (next.done) {
      await this.exited;
      const command = [this.spec.command, ...this.spec.args].join(" ");
      throw new Error(`${command}\nended without an answer. The end of its error output:\n${this.errors}`);
    }
    return JSON.parse(next.value) as T;
  }
}

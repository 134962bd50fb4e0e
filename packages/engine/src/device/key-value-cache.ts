import {
  cacheHeadDimension,
  pastKeyName,
  pastValueName,
  presentKeyName,
  presentValueName,
} from "../generation/generation-graph.js";
import { Graph, serialiseModel, subgraph } from "../graph/index.js";
import type { Device, DeviceFetch, DeviceSession, DeviceTensor, Tensor } from "../runtime/index.js";
import type { ModelConfig } from "../weights/index.js";
import type { Transfer } from "./transfer.js";

/** [rows, keyValueHeads, capacity, headDimension]: keys and values of layer 0, of layer 1, … */
export type CacheTensors = readonly DeviceTensor[];

/** The names of a cache's tensors in the generation graph. */
function names(config: ModelConfig) {
  return Array.from({ length: config.layerCount }, (_, layer) => [
    { past: pastKeyName(layer), present: presentKeyName(layer) },
    { past: pastValueName(layer), present: presentValueName(layer) },
  ]).flat();
}

/** Moves rows of key-value caches about on a device. */
export class DeviceCaches {
  private readonly names: ReturnType<typeof names>;
  private select: DeviceSession | undefined;
  private join: DeviceSession | undefined;

  constructor(
    private readonly device: Device,
    private readonly transfer: Transfer,
    private readonly config: ModelConfig,
  ) {
    this.names = names(config);
  }

  /** An empty cache to prefill into: one tensor of zeros is every layer's past, and what the run returns is `taken`. */
  async empty(rows: number, capacity: number) {
    const { keyValueHeadCount } = this.config;
    const shape = [rows, keyValueHeadCount, capacity, cacheHeadDimension(this.config)];
    const zeros = await this.transfer.upload(new Float32Array(shape.reduce((product, size) => product * size)), shape);
    const feeds = Object.fromEntries(this.names.map(({ past }) => [past, zeros]));
    const fetches = Object.fromEntries(this.names.map(({ present }) => [present, "device" as const]));
    return { feeds, fetches, release: () => zeros.release() };
  }

  /** The tensors of a run with the fetches of `empty`. */
  taken(outputs: Readonly<Record<string, DeviceTensor>>): CacheTensors {
    return this.names.map(({ present }) => outputs[present]!);
  }

  /** Adds a cache to a run's feeds and fetches, to be extended in place. */
  bindTo(
    feeds: Record<string, Tensor | DeviceTensor>,
    fetches: Record<string, DeviceFetch>,
    cache: CacheTensors,
  ): void {
    for (const [index, { past, present }] of this.names.entries()) {
      feeds[past] = cache[index]!;
      fetches[present] = cache[index]!;
    }
  }

  /**
   * A new cache of rows of a cache, or of two caches one after the other; the old ones are released. Rows may be taken
   * more than once: the continuations of a prompt start as copies.
   */
  async gather(cache: CacheTensors, added: CacheTensors | undefined, rows: readonly number[]): Promise<CacheTensors> {
    const indices: Tensor = { type: "int32", shape: [rows.length], data: Int32Array.from(rows) };
    const gathered: DeviceTensor[] = [];
    for (const [index, first] of cache.entries()) {
      const second = added?.[index];
      const session = second ? await this.joinSession() : await this.selectSession();
      const feeds = { first, rows: indices, ...(second ? { second } : {}) };
      gathered.push((await session.run(feeds, { gathered: "device" })).gathered);
      first.release();
      second?.release();
    }
    return gathered;
  }

  close(): void {
    this.select?.close();
    this.join?.close();
    this.select = undefined;
    this.join = undefined;
  }

  private async selectSession(): Promise<DeviceSession> {
    this.select ??= await this.device.createSession(gatherModel(this.config, false, this.device.provider), {
      name: "cache rows",
    });
    return this.select;
  }

  private async joinSession(): Promise<DeviceSession> {
    this.join ??= await this.device.createSession(gatherModel(this.config, true, this.device.provider), {
      name: "cache rows of two",
    });
    return this.join;
  }
}

function gatherModel(config: ModelConfig, two: boolean, provider: Device["provider"]): Uint8Array {
  const graph = new Graph();
  const rest = [config.keyValueHeadCount, "capacity", cacheHeadDimension(config)];
  const first = graph.input("first", ["firstRows", ...rest]);
  const all = two
    ? graph.node("Concat", [first, graph.input("second", ["secondRows", ...rest])], [{ shape: ["allRows", ...rest] }], {
        attributes: { axis: 0n },
      })[0]!
    : first;
  const rows = graph.input("rows", ["rows"], "int32");
  const gathered = graph.node("Gather", [all, rows], [{ shape: ["rows", ...rest] }], { attributes: { axis: 0n } })[0]!;
  return serialiseModel(subgraph(graph, { gathered }), provider);
}

export function releaseCache(cache: CacheTensors): void {
  for (const tensor of cache) tensor.release();
}

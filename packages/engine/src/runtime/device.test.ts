import { afterAll, describe, expect, test } from "vitest";
import { add, Graph, serialiseModel, subgraph } from "../graph/index.js";
import { Device } from "./device.js";
import { useSoftwareAdapter } from "./software-adapter.js";
import type { Tensor } from "./types.js";

const missing = useSoftwareAdapter();
const title = "a device (WebGPU on SwiftShader)";

/** sum = a + b, double = a + a. */
function sums(): Uint8Array {
  const graph = new Graph();
  const a = graph.input("a", ["n"]);
  const b = graph.input("b", ["n"]);
  return serialiseModel(subgraph(graph, { sum: add(a, b), double: add(a, a) }), "webgpu");
}

const host = (...values: number[]): Tensor & { data: Float32Array } => ({
  type: "float32",
  shape: [values.length],
  data: Float32Array.from(values),
});

describe.skipIf(missing !== undefined)(missing === undefined ? title : `${title}: ${missing}`, () => {
  const device = new Device("webgpu");
  afterAll(() => device.close());

  test("tensors stay on it from run to run, and from session to session", async () => {
    const session = await device.createSession(sums());
    const other = await device.createSession(sums());
    const { sum } = await session.run({ a: host(1, 2, 3), b: host(10, 20, 30) }, { sum: "device" });
    expect(sum).toMatchObject({ type: "float32", shape: [3] });
    const { double } = await other.run({ a: sum, b: sum }, { double: "device" });
    sum.release();
    session.close();
    const result = host(0, 0, 0);
    await other.run({ a: double, b: host(1, 1, 1) }, { sum: result });
    expect([...result.data]).toEqual([23, 45, 67]);
    double.release();
    other.close();
  });

  test("runs that are started together go one after another; a tensor released meanwhile is not used any more", async () => {
    const session = await device.createSession(sums());
    const { sum } = await session.run({ a: host(1), b: host(1) }, { sum: "device" });
    const results = [host(0), host(0), host(0)];
    const runs = results.map((result) => session.run({ a: sum, b: host(5) }, { sum: result }));
    const late = session.run({ a: sum, b: sum }, { sum: "device" });
    await Promise.all(runs);
    (await late).sum.release();
    sum.release();
    expect(results.map(({ data }) => data[0])).toEqual([7, 7, 7]);
    await expect(session.run({ a: sum, b: sum }, { sum: "device" })).rejects.toThrow("has been released");
    expect(() => sum.release()).toThrow("released already");
    session.close();
  });

  test("a wrong name, shape or use is an error that says so", async () => {
    const session = await device.createSession(sums(), { name: "sums" });
    const { sum } = await session.run({ a: host(1, 2), b: host(1, 2) }, { sum: "device" });
    await expect(session.run({ a: sum }, { sum: "device" })).rejects.toThrow('sums: input "b" is missing');
    await expect(session.run({ a: sum, b: sum }, { total: "device" })).rejects.toThrow('no output "total"');
    await expect(session.run({ a: sum, b: host(1, 2, 3) }, { sum: "device" })).rejects.toThrow();
    sum.release();
    session.close();
    await expect(session.run({ a: host(1), b: host(1) }, { sum: "device" })).rejects.toThrow("the session is closed");
  });
});

/**
 * The wire format of our client against the official Python SDK's own code: every JSON body that a training run sends must
 * pass the SDK's strict request models; protobuf requests must decode to what the SDK's encoder writes; results that our
 * encoders write must decode in the SDK, and the SDK's in ours.
 *
 *   npm run build && node conformance/tinker-sdk/wire.mjs
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import * as codec from "../../packages/tinker/dist/codec/index.js";
import {
  float32Tensor,
  int64Tensor,
  NodeHttpClient,
  ServiceClient,
  textInput,
} from "../../packages/tinker/dist/index.js";
import { TestServer } from "../../packages/tinker/dist/testing/index.js";

const here = dirname(fileURLToPath(import.meta.url));
execFileSync("bash", [join(here, "setup.sh")], { stdio: "inherit" });
const hex = (bytes) => Buffer.from(bytes).toString("hex");

// Every body of a run, as it leaves the client.
const bodies = [];
const http = new NodeHttpClient();
const recording = {
  send: (request) => {
    const route = request.url.pathname.replace("/api/v1/", "");
    const protobuf = String(request.headers["content-type"]).includes("protobuf");
    if (request.body !== undefined)
      bodies.push(
        protobuf
          ? { route, hex: hex(request.body) }
          : { route, json: JSON.parse(Buffer.from(request.body).toString("utf8")) },
      );
    return http.send(request);
  },
  close: () => http.close(),
};
const datum = (tokens, inputs) => ({
  modelInput: textInput(tokens.slice(0, -1)),
  lossFnInputs: {
    target_tokens: int64Tensor(tokens.slice(1)),
    ...Object.fromEntries(Object.entries(inputs).map(([name, values]) => [name, float32Tensor(values)])),
  },
});
const server = await new TestServer().start();
for (const kind of ["protobuf", "json"]) {
  const client = await ServiceClient.connect({
    baseUrl: server.url,
    apiKey: "tml-dummy",
    http: recording,
    codec: kind,
    env: {},
    tags: ["conformance"],
    userMetadata: { run: "1" },
  });
  const training = await client.createTrainingClient({ baseModel: "bigram", loraRank: 8, seed: 1 });
  await training.forwardBackward([datum([1, 2, 3], { logprobs: [-1, -2], advantages: [0.5, -0.25] })], "ppo", {
    lossFnConfig: { clip_low_threshold: 0.7, clip_high_threshold: 1.3 },
  });
  await training.forwardBackwardCustom([datum([1, 2, 3, 4], {})], (logprobs) => ({
    loss: 1,
    gradients: logprobs.map((values) => values.map(() => 0.5)),
  }));
  await training.optimStep({ learningRate: 1e-3, gradClipNorm: 1 });
  const path = await training.saveState("state", { ttlSeconds: 60 });
  await training.saveWeightsForSampler("sampler");
  const sampler = await training.saveWeightsAndGetSamplingClient();
  await sampler.sample({
    prompt: [1, 2],
    numSamples: 2,
    samplingParams: { maxTokens: 3, stop: [7], seed: 1, topK: 5, topP: 0.9, temperature: 0.7 },
  });
  await sampler.computeLogprobs([1, 2, 3]);
  await training.getInfo();
  await client.createTrainingClientFromState(path);
  await client.createSamplingClient({ baseModel: "bigram" });
  await training.unload();
  await client.close();
}
await server.stop();

const output = {
  lossFnOutputType: "ArrayRecord",
  lossFnOutputs: [
    { logprobs: float32Tensor([-1, -2.5]), elementwise_loss: float32Tensor([1, 2.5]) },
    { logprobs: float32Tensor([-3]), elementwise_loss: float32Tensor([3]) },
  ],
  metrics: { "loss:sum": 6.5, "tokens:max": 2 },
};
const samples = {
  sequences: [
    { stopReason: "stop", tokens: Int32Array.of(5, 6), logprobs: Float32Array.of(-0.5, -1) },
    { stopReason: "length", tokens: Int32Array.of(9), logprobs: Float32Array.of(-2) },
  ],
  promptLogprobs: [null, -0.25, -0.75],
  topkPromptLogprobs: [
    null,
    [
      [3, -0.5],
      [4, -1],
    ],
    [[5, -0.125]],
  ],
};
const folder = mkdtempSync(join(tmpdir(), "tinker-wire-"));
const job = join(folder, "job.json");
writeFileSync(
  job,
  JSON.stringify({
    bodies,
    output: hex(codec.encodeForwardBackwardOutput(output)),
    samples: hex(codec.encodeSampleResponse(samples)),
    result: join(folder, "result.json"),
  }),
);
execFileSync(join(here, "..", "..", ".venv", "tinker-sdk", "bin", "python"), [join(here, "wire_check.py"), job], {
  stdio: "inherit",
});

// What the SDK wrote, read by us.
const written = JSON.parse(readFileSync(join(folder, "result.json"), "utf8"));
rmSync(folder, { recursive: true });
/** Typed arrays and lists of the same numbers count as equal. */
const plain = (value) =>
  JSON.parse(JSON.stringify(value, (_, item) => (ArrayBuffer.isView(item) ? Array.from(item) : item)));
let failures = 0;
const check = (name, actual, expected) => {
  const passed = isDeepStrictEqual(plain(actual), plain(expected));
  if (!passed) failures++;
  console.log(`${passed ? "ok  " : "FAIL"} ${name}`);
};
const bytes = (name) => Buffer.from(written[name], "hex");
check(
  "a request that the SDK encodes is read by our server codec",
  codec.decodeForwardBackwardRequest(bytes("request")),
  codec.forwardBackwardRequestFromJson(written.requestJson),
);
check(
  "a training result that the protobuf library writes is read",
  codec.decodeForwardBackwardOutput(bytes("output")),
  output,
);
check(
  "a sampling result that the protobuf library writes is read",
  codec.decodeSampleResponse(bytes("samples")),
  samples,
);
process.exit(failures === 0 ? 0 : 1);

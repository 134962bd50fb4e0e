/** A Tinker server in a process of its own, with one answer after a fixed time: what is measured is the client. Prints its port. */
import { createServer } from "node:http";

const delayMs = Number(process.env.DELAY_MS ?? 1_000);
const tokens = Array.from({ length: Number(process.env.TOKENS ?? 512) }, (_, i) => (i * 7919) % 32_000);
const result = Buffer.from(
  JSON.stringify({
    sequences: [{ stop_reason: "length", tokens, logprobs: tokens.map((token) => -((token % 97) / 10) - 0.0123) }],
    prompt_logprobs: null,
  }),
);
let next = 0;
let waiting = 0;
let mostWaiting = 0;
const due = new Map();
const json = (response, body) => {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(200, { "content-type": "application/json", "content-length": bytes.length }).end(bytes);
};
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const path = request.url.replace("/api/v1/", "");
    if (path === "asample") {
      const id = String(next++);
      due.set(id, performance.now() + delayMs);
      return json(response, { request_id: id });
    }
    if (path === "retrieve_future") {
      const id = JSON.parse(Buffer.concat(parts).toString()).request_id;
      mostWaiting = Math.max(mostWaiting, ++waiting);
      setTimeout(
        () => {
          waiting--;
          due.delete(id);
          response.writeHead(200, { "content-type": "application/json", "content-length": result.length }).end(result);
        },
        Math.max(0, due.get(id) - performance.now()),
      );
      return;
    }
    if (path === "create_session") return json(response, { session_id: "s", type: "create_session" });
    if (path === "create_sampling_session") return json(response, { sampling_session_id: "x" });
    if (path === "most_waiting") {
      json(response, { mostWaiting });
      mostWaiting = 0;
      return;
    }
    json(response, {});
  });
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));

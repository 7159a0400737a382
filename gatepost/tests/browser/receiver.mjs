// A receiver of webhooks whose responses depend on the path, until it is healed.
import { once } from "node:events";
import { createServer } from "node:http";

const STATUSES = { broken: 503, crowded: 503, mended: 503, echo: 500, slow: 500, gone: 410 };

export const receiver = { url: "", healed: new Set(), received: [] };

const server = createServer(async (request, answer) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  answer.statusCode = receiver.healed.has(request.url) ? 204 : STATUSES[request.url.split("/")[1]] ?? 204;
  receiver.received.push({ path: request.url, event: request.headers["webhook-id"], status: answer.statusCode, body });
  if (request.url === "/echo") answer.setHeader("content-type", "application/json");
  answer.end({ 500: body, 503: "down for maintenance" }[answer.statusCode]);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
// The suite ends although it listens, and connections of the deliverer stay open.
server.unref();
server.on("connection", (socket) => socket.unref());
receiver.url = `http://127.0.0.1:${server.address().port}`;

// Requests that were accepted at a path.
export const accepted = (path) => receiver.received.filter((request) => request.path === path && request.status === 204);

// A receiver of webhooks whose responses depend on the path, until it is healed.
import { once } from "node:events";
import { createServer } from "node:http";

const STATUSES = { "/broken": 503, "/slow": 500, "/gone": 410 };

export const receiver = { url: "", healed: new Set(), received: [] };

const server = createServer(async (request, answer) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  receiver.received.push({ path: request.url, body });
  answer.statusCode = receiver.healed.has(request.url) ? 204 : STATUSES[request.url] ?? 204;
  answer.end(answer.statusCode === 503 ? "down for maintenance" : undefined);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
// The suite ends although it listens, and connections of the deliverer stay open.
server.unref();
server.on("connection", (socket) => socket.unref());
receiver.url = `http://127.0.0.1:${server.address().port}`;

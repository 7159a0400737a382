// Pictures of the dashboard with a store in use. `cargo xtask pictures` starts this with a new store.
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { GATEWAYS, api, browser, someDelivery, visit } from "./site.mjs";

const SIZE = { width: 1280, height: 860 };
const nextYear = new Date(Date.now() + 365 * 86_400_000).toISOString();
const LIMITS = { rateLimit: 600, rateLimitTtl: 60, expiry: nextYear };
const PARTNERS = [
  "Acme Logistics", "Blue Harbor", "Cedar & Sons", "Delta Retail", "Evergreen Foods", "Fjord Travel", "Grünwald Optik",
  "Harbor Freight Desk", "Iris Media", "Juniper Health", "Kestrel Maps", "Lumen Energy", "Maple Street Books",
  "Northwind", "Orchid Hotels", "Pine Analytics", "Quarry Stone", "Rivera Imports",
];
const APPS = ["iOS app", "Android app", "Web checkout", "Warehouse scanner", "Nightly export", "Support desk"];

async function createReceiver() {
  const server = createServer((request, answer) => {
    answer.statusCode = request.url.startsWith("/crm") ? 503 : 204;
    answer.end(answer.statusCode === 503 ? "upstream is down for maintenance" : undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function createProject(name, env, keys) {
  const project = await api("POST", "/projects", { name, env });
  project.keys = [];
  for (const [index, name] of keys.entries()) {
    const more = index % 3 === 0 ? LIMITS : {};
    const body = { name, projectId: project.id, customAccountId: `customer-${101 + index}`, ...more };
    project.keys.push(await api("POST", "/api-keys", body));
  }
  return project;
}

// Sends requests with keys, some more than others.
async function use(keys) {
  for (const [index, { key }] of keys.entries()) {
    for (let request = (index * 7) % 23; request > 0; request -= 1) {
      await fetch(`${GATEWAYS[0]}/orders`, { headers: { "x-api-key": key } });
    }
  }
}

async function fill(receiver) {
  const url = `http://127.0.0.1:${receiver.address().port}`;
  const topics = ["api-key.created", "api-key.firstUsed", "api-key.updated", "api-key.deleted"];
  const hooks = [["Billing", `${url}/billing`], ["CRM sync", `${url}/crm`], ["Audit archive", "http://127.0.0.1:9/archive"]];
  const webhooks = [];
  for (const [name, url] of hooks) {
    webhooks.push(await api("POST", "/webhooks", { name, url, httpMethod: "POST", topics }));
  }
  const partners = await createProject("Partner API", "live", PARTNERS);
  const shop = await createProject("Online shop", "live", [...APPS, "Price feed", "Loyalty program", "Fraud check", "Returns"]);
  const sandbox = await createProject("Sandbox", "test", APPS.map((name) => `${name} (staging)`).concat(["CI", "Load test", "Demo", "Docs examples", "QA", "Integration"]));
  for (const key of [partners.keys[3], partners.keys[9], shop.keys[8]]) await api("DELETE", `/api-keys/${key.id}`);
  await use([...partners.keys, ...shop.keys]);
  return { partners, shop, sandbox, webhooks, event: await someDelivery(webhooks[1].id) };
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

// Each picture with the path of its page, and what to do there.
function pictures({ partners, shop, webhooks, event }) {
  return [
    { name: "project", path: `/projects/${partners.id}` },
    { name: "keys", path: `/projects/${partners.id}/keys` },
    { name: "key", path: `/keys/${shop.keys[3].id}` },
    { name: "key-created", path: `/keys/${shop.keys[0].id}/rotate`, act: (page) => press(page, "Rotate") },
    { name: "key-revoked", path: `/keys/${shop.keys[6].id}/revoke`, act: revoke },
    { name: "webhook-form", path: `/projects/${shop.id}/webhooks/new` },
    { name: "webhook", path: `/webhooks/${webhooks[1].id}` },
    { name: "delivery", path: `/webhooks/${webhooks[1].id}/deliveries/${event}` },
  ];
}

async function revoke(page) {
  await page.getByLabel("Type the name").fill("Price feed");
  await press(page, "Revoke the key");
  await page.getByText(/gateways refuse it after/).waitFor();
}

const receiver = await createReceiver();
const site = await fill(receiver);
for (const scheme of ["light", "dark"]) {
  for (const { name, path, act } of pictures(site)) {
    const visitor = await visit({ as: "admin", scheme });
    await visitor.page.setViewportSize(SIZE);
    await visitor.go(path);
    if (act) await act(visitor.page);
    await visitor.page.screenshot({ path: join(process.env.IMAGES, `${name}-${scheme}.png`) });
    await visitor.close();
  }
}
await browser.close();
receiver.close();
// Connections of the deliverer stay open otherwise.
receiver.closeAllConnections();

// Deliveries that fail, wait, or are recovered.
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, receiver } from "./receiver.mjs";
import { api, createKey, createWebhook, ids, someDelivery, until, visit } from "./site.mjs";

const DEAD_LETTERS = 500;

test("a delivery that failed is sent again without scripts", async () => {
  const webhook = await createWebhook("Broken for a while", "/mended");
  await createKey("Delivered late");
  const event = await someDelivery(webhook.id);
  const visitor = await visit({ as: "admin", script: false });
  const { page } = visitor;
  await visitor.go(`/webhooks/${webhook.id}/deliveries/${event}`);
  await page.getByText(/503/).first().waitFor();
  receiver.healed.add("/mended");
  await page.getByRole("button", { name: "Resend" }).click();
  const success = page.getByText("The receiver has accepted it.");
  await until(async () => (await success.count()) > 0 || !(await page.reload()));
  await visitor.close();
});

// The end-to-end test looks for the key in the files of the store, as for all secrets.
test("a receiver that echoes the key brings it into no page", async () => {
  const webhook = await createWebhook("Echo", "/echo");
  const { key } = await createKey("Echoed");
  const event = await someDelivery(webhook.id);
  assert.ok(receiver.received.some(({ path, body }) => path === "/echo" && body.includes(key)));
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const paths = [`/webhooks/${webhook.id}/deliveries/${event}`, `/webhooks/${webhook.id}/deliveries`, `/webhooks/${webhook.id}`];
  for (const path of paths) {
    await visitor.go(path);
    assert.ok(!(await page.content()).includes(key), path);
  }
  await visitor.close();
  await api("DELETE", `/webhooks/${webhook.id}`);
});

test("events of a paused webhook wait, and are sent when it is live", async () => {
  const webhook = await createWebhook("Paused for a while", "/later", { whenPaused: "keep" });
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/webhooks/${webhook.id}`);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("New events wait, and are sent when the webhook is live.").waitFor();
  await createKey("Told later");
  const waiting = page.getByText("Waits: paused");
  await until(async () => (await waiting.count()) > 0 || !(await page.reload()));
  assert.equal(accepted("/later").length, 0);
  await page.getByRole("button", { name: "Set Live" }).click();
  await until(() => accepted("/later").length === 1);
  const delivered = page.getByRole("cell", { name: "Delivered" });
  await until(async () => (await delivered.count()) > 0 || !(await page.reload()));
  await visitor.close();
});

// Creates a webhook with dead letters in a project of its own, and returns it with the ids of their events.
async function createDeadLetters() {
  const projectId = (await api("POST", "/projects", { name: "Crowded", env: "live" })).id;
  const topics = ["api-key.created", "api-key.deleted"];
  const webhook = await createWebhook("Crowded", "/crowded", { projectId, topics, retrySchedule: [1] });
  const create = async (number) => (await api("POST", "/api-keys", { name: `Crowd ${number}`, projectId })).id;
  const keys = [];
  for (let first = 0; first < DEAD_LETTERS; first += 50) {
    keys.push(...await Promise.all(Array.from({ length: 50 }, (_, index) => create(first + index))));
  }
  await api("DELETE", `/api-keys/${keys[0]}`);
  await until(async () => (await api("GET", `/webhooks/${webhook.id}/stats`)).dead === DEAD_LETTERS + 1);
  const { deliveries } = await api("GET", `/webhooks/${webhook.id}/deliveries?status=dead&type=api-key.created&limit=1000`);
  return { id: webhook.id, projectId, key: keys[1], events: deliveries.map(({ eventId }) => eventId).sort() };
}

// Returns the events of a list, from all of its pages.
async function listedEvents({ page }) {
  const events = [];
  const next = page.getByRole("link", { name: "Next" });
  for (;;) {
    events.push(...await page.locator("tbody th code").allTextContents());
    if (await next.count() === 0) return events;
    await Promise.all([page.waitForNavigation(), next.click()]);
  }
}

test("500 dead letters on several pages are recovered by a filter, none of them twice", async () => {
  const webhook = await createDeadLetters();
  const beside = await createWebhook("Beside", "/beside", { projectId: webhook.projectId, topics: ["api-key.updated"] });
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/webhooks/${webhook.id}/dead-letters?topic=api-key.created`);
  assert.deepEqual((await listedEvents(visitor)).sort(), webhook.events);
  receiver.healed.add("/crowded");
  await page.getByRole("link", { name: "Recover…" }).click();
  await page.getByRole("checkbox", { name: "api-key.created" }).check();
  await page.getByRole("button", { name: "Recover" }).click();
  await page.getByRole("progressbar").waitFor();
  await api("PATCH", `/api-keys/${webhook.key}`, { name: "Changed meanwhile" });
  await until(() => accepted("/beside").length === 1);
  await page.getByText(`${DEAD_LETTERS} of ${DEAD_LETTERS} sent again`).waitFor();
  await until(() => accepted("/crowded").length >= DEAD_LETTERS);
  assert.deepEqual(accepted("/crowded").map(({ event }) => event).sort(), webhook.events);
  await visitor.go(`/webhooks/${webhook.id}/dead-letters`);
  assert.equal((await listedEvents(visitor)).length, 1, "the one that the filter leaves out");
  await visitor.close();
  for (const { id } of [webhook, beside]) await api("DELETE", `/webhooks/${id}`);
});

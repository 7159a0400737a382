// Pages that follow what they show, each without being loaded again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { receiver } from "./receiver.mjs";
import { GATEWAY_PIDS, accessKeys, api, createKey, createWebhook, ids, secrets, someDelivery, statuses, stop, visit } from "./site.mjs";

const fact = (page, name) => page.locator(".facts div").filter({ has: page.getByText(name, { exact: true }) }).locator("dd");

test("first use, last use and usage of a key appear by themselves, and the first use once in the tail", async () => {
  const created = await createKey("Used while somebody looks");
  const [visitor, second] = [await visit({ as: "admin" }), await visit({ as: "viewer" })];
  await visitor.follow(`/keys/${created.id}`);
  await second.follow("/changes");
  assert.equal(await fact(visitor.page, "Last used").textContent(), "–");
  assert.deepEqual(await statuses(created.key), [200, 200, 200]);
  await fact(visitor.page, "Last used").getByText(/now|ago/).waitFor();
  await fact(visitor.page, "First used").getByText(/now|ago/).waitFor();
  await visitor.page.getByText("3 requests", { exact: true }).waitFor();
  const rows = second.page.getByRole("row").filter({ hasText: "Used while somebody looks" });
  const uses = rows.filter({ hasText: "Key first used" });
  await uses.waitFor();
  await api("PATCH", `/api-keys/${created.id}`, { name: "Used while somebody looks, and renamed" });
  await rows.filter({ hasText: "renamed" }).waitFor();
  assert.equal(await uses.count(), 1);
  const times = await second.page.locator("tbody time").evaluateAll((all) => all.map((time) => time.dateTime));
  assert.deepEqual(times, [...times].sort().reverse(), "the newest change is on top");
  assert.ok(await visitor.isKept() && await second.isKept());
  await visitor.close();
  await second.close();
});

test("what a reader has opened, copied and focused stays while a part follows", async () => {
  const created = await createKey("Read while it is used");
  await statuses(created.key);
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.follow(`/keys/${created.id}`);
  await page.getByText("3 requests", { exact: true }).waitFor();
  await page.getByText("Numbers", { exact: true }).click();
  await page.getByRole("link", { name: "Rotate…" }).focus();
  await statuses(created.key);
  await page.getByText("6 requests", { exact: true }).waitFor();
  assert.equal(await page.locator("details.chart-numbers[open]").count(), 1);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Rotate…");
  await page.getByRole("button", { name: "Copy the id" }).first().waitFor();
  assert.match(await fact(page, "Created").locator("time").getAttribute("title"), /^[^(]+ \([^(]+ UTC\)$/);
  assert.equal(await page.locator(".live-note").isVisible(), false);
  await visitor.close();
});

test("a revoked key waits for a gateway that stands still", async () => {
  const created = await createKey("Revoked while one stands still");
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/keys/${created.id}/revoke`);
  await page.getByLabel("Type the name").fill("Revoked while one stands still");
  await stop(GATEWAY_PIDS[2]);
  try {
    // The page itself waits 10 s for the gateways.
    await page.getByRole("button", { name: "Revoke the key" }).click({ timeout: 30_000 });
    await page.getByText(/2\/3 gateways refuse it/).waitFor({ timeout: 30_000 });
    await page.getByText(/must refuse all keys by \d{4}-/).waitFor();
    await page.getByText("Not applied yet").waitFor();
    await visitor.mark();
  } finally {
    process.kill(GATEWAY_PIDS[2], "SIGCONT");
  }
  await page.getByText("3/3 gateways refuse it").waitFor({ timeout: 30_000 });
  assert.equal(await page.getByText("Applied", { exact: true }).count(), 3);
  assert.ok(await visitor.isKept());
  assert.deepEqual(await statuses(created.key), [401, 401, 401]);
  await visitor.close();
});

for (const script of [true, false]) {
  test(`an attempt appears by itself, ${script ? "with" : "without"} scripts`, async () => {
    const path = `/broken/${script}`;
    const webhook = await createWebhook(`Watched ${script}`, path);
    await createKey("Delivered while somebody looks");
    const event = await someDelivery(webhook.id);
    const visitor = await visit({ as: "admin", script });
    const { page } = visitor;
    const address = `/webhooks/${webhook.id}/deliveries/${event}`;
    if (script) await visitor.follow(address);
    else await visitor.go(address);
    await page.getByText("503").first().waitFor();
    await page.getByText(/due/).first().waitFor();
    const attempts = page.locator(".timeline li:not(.upcoming)");
    const before = await attempts.count();
    receiver.healed.add(path);
    // Somebody else sends it again.
    await api("POST", `${address}/resend`);
    await page.getByText("The receiver has accepted it.").waitFor();
    assert.ok(await attempts.count() > before);
    if (script) assert.ok(await visitor.isKept());
    await visitor.close();
  });
}

test("the deliveries of a webhook, and its page, show what happens", async () => {
  const webhook = await createWebhook("Followed", "/fine");
  const [visitor, second] = [await visit({ as: "viewer" }), await visit({ as: "admin" })];
  await visitor.follow(`/webhooks/${webhook.id}/deliveries`);
  await second.follow(`/webhooks/${webhook.id}`);
  await createKey("Seen in the list");
  for (const each of [visitor, second]) {
    await each.page.getByRole("table").getByText("Delivered", { exact: true }).waitFor();
    assert.ok(await each.isKept());
  }
  await visitor.close();
  await second.close();
});

test("a page says so when it is not followed, and keeps what it shows", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await page.route("**/dashboard/live/**", (route) => route.fulfill({ status: 503, contentType: "text/html", body: "full" }));
  await visitor.go("/gateways");
  await page.getByText("This page is not updated by itself now.").waitFor();
  assert.equal(await page.getByText("Live", { exact: true }).count(), 3);
  await page.unroute("**/dashboard/live/**");
  await page.getByRole("link", { name: "Load it again" }).click();
  await page.getByText("Live", { exact: true }).first().waitFor();
  assert.equal(await page.locator(".live-note").isVisible(), false);
  visitor.faults.length = 0;
  await visitor.close();
  const plain = await visit({ as: "admin", script: false });
  await plain.go("/gateways");
  await plain.page.getByRole("link", { name: "Load it again" }).waitFor();
  await plain.close();
});

test("a followed page leads to the sign-in when its session ends elsewhere", async () => {
  const created = await api("POST", "/access-keys", { name: "Watching", role: "user" });
  secrets.add(created.key);
  accessKeys.watching = created.key;
  const visitors = [await visit({ as: "watching" }), await visit({ as: "watching" })];
  await visitors[0].follow("/gateways");
  await visitors[1].follow(`/projects/${ids.projects}/changes`);
  // Its changes are behind those of the import: the page has to search for them first.
  await visitors[1].page.locator("#rest [hx-get]").waitFor({ state: "detached" });
  await api("DELETE", `/access-keys/${created.id}`);
  for (const visitor of visitors) {
    await visitor.page.getByLabel("Access key").waitFor();
    await visitor.close();
  }
});

// Webhooks: create, test, failed deliveries, and sending them again.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { test } from "node:test";
import { hook } from "./page-list.mjs";
import { accepted, receiver } from "./receiver.mjs";
import { ORIGIN, api, createKey, createWebhook, ids, secrets, someDelivery, until, visit } from "./site.mjs";

for (const script of [true, false]) {
  test(`a webhook is tested and saved by the words that people see, ${script ? "with" : "without"} scripts`, async () => {
    const visitor = await visit({ as: "admin", script });
    const { page } = visitor;
    await visitor.go("/projects");
    await page.getByRole("link", { name: "Online shop" }).click();
    await page.getByRole("link", { name: "+ Create New Hook" }).first().click();
    await hook(page, "Test Connection", `${receiver.url}/fine-${script}`);
    await page.getByText(/→ 204 in \d+ ms/).waitFor();
    await page.getByRole("button", { name: "Save New Hook" }).click();
    const secret = await visitor.takeValue();
    assert.match(secret, /^whsec_/);
    await page.getByRole("link", { name: "I have copied it" }).click();
    assert.ok(!(await page.content()).includes(secret));
    await createKey(`For the hook ${script}`);
    const [, delivery] = await until(() => accepted(`/fine-${script}`).length > 1 && accepted(`/fine-${script}`));
    assert.match(delivery.body, /api-key\.created/);
    await visitor.close();
  });
}

test("the keyboard alone creates, tests and saves a webhook", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const type = async (label, text) => {
    await visitor.tabTo("textbox", label);
    await page.keyboard.type(text);
  };
  await visitor.go("/projects");
  await visitor.pressOn("link", "Online shop");
  await visitor.pressOn("link", "+ Create New Hook");
  await type(/^Endpoint/, `${receiver.url}/by-keyboard`);
  await type("Name required", "By keyboard");
  await visitor.tabTo("checkbox", /^api-key.created/);
  await page.keyboard.press("Space");
  await visitor.tabTo("button", "Test Connection");
  await page.keyboard.press("Enter");
  await page.getByText(/→ 204 in \d+ ms/).waitFor();
  await visitor.pressOn("button", "Save New Hook");
  const secret = await visitor.takeValue();
  await visitor.pressOn("link", "I have copied it");
  await page.getByRole("heading", { name: "By keyboard" }).waitFor();
  assert.ok(!(await page.content()).includes(secret));
  await visitor.close();
});

// A receiver with a certificate that nobody has signed.
async function startDistrusted() {
  const [key, cert] = ["TLS_KEY", "TLS_CERTIFICATE"].map((name) => readFileSync(process.env[name]));
  const server = createServer({ key, cert }, (_, answer) => answer.end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return server;
}

test("a failed test says why, and the form keeps its entries", async () => {
  const distrusted = await startDistrusted();
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  for (const [url, words] of [
    ["http://127.0.0.1:9/x", /refused/i],
    [`${receiver.url}/slow`, /→ 500 in/],
    ["http://169.254.169.254/x", /169\.254|not allowed|address/i],
    [`https://127.0.0.1:${distrusted.address().port}/x`, /certificate/i],
  ]) {
    await visitor.go(`/projects/${ids.projects}/webhooks/new`);
    await hook(page, "Test Connection", url);
    const status = page.getByRole("status");
    await status.waitFor();
    assert.match(await status.textContent(), words);
    assert.equal(await page.getByLabel("Endpoint").inputValue(), url);
    assert.ok(await page.getByRole("checkbox", { name: /^api-key.created/ }).isChecked());
  }
  await visitor.close();
});

test("a delivery that failed shows its attempts, and is sent again", async () => {
  const webhook = await createWebhook("Broken for a while", "/broken");
  await createKey("Delivered late");
  const event = await someDelivery(webhook.id);
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/webhooks/${webhook.id}/deliveries/${event}`);
  await page.getByText(/503/).first().waitFor();
  await page.getByText(/due/).first().waitFor();
  const source = await page.content();
  assert.ok(![...secrets].some((secret) => source.includes(secret)));
  receiver.healed.add("/broken");
  await page.getByRole("button", { name: "Resend" }).click();
  await page.getByText("The receiver has accepted it.").waitFor();
  receiver.healed.delete("/broken");
  await visitor.close();
});

test("the name, the address and a header of a webhook are only text", async () => {
  const name = "<img src=x onerror=alert(1)>";
  const created = await api("POST", "/webhooks", {
    name, url: `${receiver.url}/x?a=<script>`, httpMethod: "POST", topics: ["api-key.created"], projectId: ids.projects,
    customHeaders: { "x-note": name },
  });
  secrets.add(created.secret);
  const visitor = await visit({ as: "admin" });
  for (const path of [`/webhooks/${created.id}`, `/projects/${ids.projects}/webhooks`, `/webhooks/${created.id}/edit`]) {
    await visitor.go(`${ORIGIN}/dashboard${path}`);
    const isShown = async () => (await visitor.page.locator("main").innerHTML()).includes("img src=x onerror");
    assert.ok(await isShown(), path);
    assert.equal(await visitor.page.locator("img[src=x], main script").count(), 0);
  }
  await visitor.close();
});

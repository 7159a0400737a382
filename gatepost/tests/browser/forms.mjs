// Forms with faults, deleted projects, and what a change has changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, createKey, ids, visit } from "./site.mjs";

test("a form shows all faults at once, each at its field, and keeps what was typed", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const entries = {
    Name: "kept", Expires: "2001-01-01", "Rate limit, requests": "many", "Quota, requests": "-1",
    "Allowed addresses": "nowhere", Metadata: "{plan",
  };
  await visitor.go(`/projects/${ids.projects}/keys/new`);
  for (const [label, text] of Object.entries(entries)) await page.getByLabel(label).first().fill(text);
  await page.getByRole("button", { name: "Create Key" }).click();
  await page.getByText(/Please correct the \d marked fields/).waitFor();
  for (const [label, words] of [
    ["Expires", /Is in the past/], ["Rate limit, requests", /whole number/], ["Per window, seconds", /number of seconds/],
    ["Quota, requests", /whole number/], ["Allowed addresses", /no address/], ["Metadata", /not JSON/],
  ]) {
    const field = page.getByLabel(label).first();
    assert.equal(await field.getAttribute("aria-invalid"), "true", label);
    const described = await field.evaluate((input) =>
      input.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join(" "));
    assert.match(described, words, label);
  }
  for (const [label, text] of Object.entries(entries)) assert.equal(await page.getByLabel(label).first().inputValue(), text);
  await visitor.close();
});

test("a deleted project is found again, and says everywhere that it was deleted", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go("/projects");
  assert.equal(await page.getByRole("link", { name: "Closed shop" }).count(), 0);
  await page.getByRole("link", { name: "Deleted", exact: true }).click();
  await page.getByRole("link", { name: "Closed shop" }).click();
  for (const link of ["All keys", "Key of the closed shop", "Hook of the closed shop"]) {
    await page.getByText("Closed shop was deleted.").waitFor();
    const found = page.getByRole("link", { name: link, exact: true }).first();
    if (await found.count() === 0) continue;
    await found.click();
    await page.getByText(/was deleted/).first().waitFor();
    assert.equal(await page.getByText("Live", { exact: true }).count(), 0, link);
    await page.goBack();
  }
  await visitor.go("/access-keys");
  const row = page.getByRole("row", { name: /Key of closed shop/ });
  await row.getByText("Project deleted").waitFor();
  await row.getByRole("link", { name: "Closed shop" }).waitFor();
  await visitor.go("/search?q=of+the+closed+shop");
  for (const name of [/Key of the closed shop/, /Hook of the closed shop/]) {
    await page.getByRole("row", { name }).getByText("Project deleted").waitFor();
  }
  await visitor.close();
});

test("changes name what was changed, and are found by the name of an access key", async () => {
  const key = await createKey("Before the change");
  await api("PATCH", `/api-keys/${key.id}`, { name: "After the change", expiry: "2098-01-01" });
  await api("POST", `/api-keys/${key.id}/rotate`, {});
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/changes?subject=${key.id}`);
  await page.getByText("expires, name").waitFor();
  const masks = await page.getByText(/^value from live_/).locator("code").allTextContents();
  assert.equal(new Set(masks).size, 2, `${masks}`);
  const author = await page.getByRole("row").nth(1).getByRole("cell").nth(1).textContent();
  await page.getByLabel("By").fill(author.toUpperCase());
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByText("expires, name").waitFor();
  await page.getByLabel("By").fill("nobody");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByText("Must be the name or the ID of an access key").waitFor();
  await visitor.close();
});

test("the check that decides stands out", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go("/explain");
  await page.getByLabel("Key").first().fill("live_" + "x".repeat(24));
  await page.getByRole("button", { name: "Explain" }).click();
  const rows = page.getByRole("table", { name: "Checks" }).getByRole("row");
  assert.match(await rows.last().textContent(), /Refused/);
  await page.getByText("Checks that were not reached").click();
  await page.getByText(/Expiry, Project/).waitFor();
  await visitor.close();
});

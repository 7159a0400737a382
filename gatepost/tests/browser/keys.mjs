// The life of keys: create, copy, search, edit, rotate, revoke.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NAMED_ORIGIN, ORIGIN, accessKeys, api, createKey, ids, secrets, statuses, visit } from "./site.mjs";

// A key whose old value is accepted for a minute. `overlap.mjs` comes back to it.
export const rotated = {};

const clipboard = (visitor) => visitor.page.evaluate(() => navigator.clipboard.readText());

test("the keyboard alone creates, copies and revokes a key", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go("/projects");
  await visitor.pressOn("link", "Online shop");
  await visitor.pressOn("link", "+ Create Key");
  await visitor.tabTo("textbox", /^Name/);
  await page.keyboard.type("By keyboard");
  await visitor.pressOn("button", "Create Key");
  const value = await visitor.takeValue();
  await visitor.pressOn("button", "Copy the key");
  await page.locator(".copy", { hasText: "Copied" }).waitFor();
  assert.equal(await clipboard(visitor), value);
  assert.deepEqual(await statuses(value), [200, 200, 200]);
  await visitor.pressOn("link", "I have copied it");
  await visitor.pressOn("link", "Revoke…");
  const field = await visitor.tabTo("textbox", await page.locator("label[for=confirmation]").textContent());
  await page.keyboard.type("Another name");
  await visitor.tabTo("button", "Revoke the key");
  await page.keyboard.press("Enter");
  assert.ok(!(await field.evaluate((input) => input.checkValidity())), "the browser refuses another text");
  await field.fill("By keyboard");
  await visitor.pressOn("button", "Revoke the key");
  await page.getByText(/3\/3 gateways refuse it after/).waitFor();
  assert.deepEqual(await statuses(value), [401, 401, 401]);
  await visitor.close();
});

test("a new value is shown once", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await visitor.go(`/projects/${ids.projects}/keys/new`);
  await page.getByLabel("Name").fill("Shown once");
  await page.getByRole("button", { name: "Create Key" }).click();
  const value = await visitor.takeValue();
  await page.reload();
  assert.equal(await visitor.takeValue(), value, "a reload creates no second key");
  await page.getByRole("link", { name: "I have copied it" }).click();
  const key = new URL(page.url()).pathname.replace("/dashboard", "");
  for (const path of [key, `${key}/edit`, `/projects/${ids.projects}`, `/projects/${ids.projects}/keys`]) {
    await visitor.go(path);
    assert.ok(!(await page.content()).includes(value), path);
  }
  const events = JSON.stringify(await api("GET", "/events?order=desc&limit=100"));
  assert.ok(events.includes("Shown once") && !events.includes(value));
  await visitor.close();
});

test("copying works over plain http from another machine", async () => {
  const visitor = await visit();
  const { page } = visitor;
  await visitor.go(process.env.SECOND_LINK.replace(ORIGIN, NAMED_ORIGIN));
  await page.getByRole("button", { name: "Sign in as" }).click();
  await page.getByRole("link", { name: "Online shop" }).click();
  await page.getByRole("link", { name: "+ Create Key" }).click();
  await page.getByLabel("Name").fill("From another machine");
  await page.getByRole("button", { name: "Create Key" }).click();
  const value = await visitor.takeValue();
  assert.equal(await page.evaluate(() => typeof navigator.clipboard), "undefined");
  await page.getByRole("button", { name: "Copy the key" }).click();
  await page.locator(".copy", { hasText: "Copied" }).waitFor();
  await visitor.go(`${NAMED_ORIGIN}/dashboard/projects/${ids.projects}/keys`);
  const search = page.getByLabel("Search keys");
  await search.focus();
  await page.keyboard.press("Control+V");
  assert.equal(await search.inputValue(), value);
  await visitor.close();
  const stranger = await visit();
  await stranger.go(`${NAMED_ORIGIN}/dashboard/sign-in`);
  await stranger.page.getByLabel("Access key").fill("live_access_x");
  await stranger.page.getByRole("button", { name: "Sign in" }).click();
  await stranger.page.getByText("came over plain http from another machine").waitFor();
  await stranger.close();
});

test("a rotated key is accepted with both values during the overlap", async () => {
  const created = await createKey("Rotated");
  const visitor = await visit({ as: "admin" });
  await visitor.go(`/keys/${created.id}/rotate`);
  await visitor.page.getByLabel("Overlap").selectOption("60");
  await visitor.page.getByRole("button", { name: "Rotate" }).click();
  const value = await visitor.takeValue();
  assert.notEqual(value, created.key);
  await visitor.page.getByRole("row", { name: /^Old, replaced .* in \d+ (s|min)/ }).waitFor();
  for (const either of [value, created.key]) assert.deepEqual(await statuses(either), [200, 200, 200]);
  await visitor.close();
  Object.assign(rotated, { id: created.id, value, old: created.key });
});

test("a key that is rotated without an overlap refuses its old value at every gateway", async () => {
  const created = await createKey("Rotated at once");
  assert.deepEqual(await statuses(created.key), [200, 200, 200]);
  const visitor = await visit({ as: "admin" });
  await visitor.go(`/keys/${created.id}/rotate`);
  await visitor.page.getByLabel("Overlap").selectOption("0");
  await visitor.page.getByRole("button", { name: "Rotate" }).click();
  const value = await visitor.takeValue();
  await visitor.page.getByText(/3\/3 gateways accept only the values below after/).waitFor();
  assert.deepEqual(await statuses(value), [200, 200, 200]);
  assert.deepEqual(await statuses(created.key), [401, 401, 401]);
  await visitor.close();
});

test("search finds a key by what people know of it, and keeps values out of addresses", async () => {
  const created = await createKey("Findable", { customAccountId: "customer-99" });
  const visitor = await visit({ as: "admin" });
  const mask = `${created.key.slice(0, 8)}…${created.key.slice(-4)}`;
  for (const text of [created.key, created.id, "indab", mask, mask.slice(-4), "customer-99"]) {
    await visitor.go(`/projects/${ids.projects}/keys`);
    await visitor.page.keyboard.press("/");
    await visitor.page.keyboard.type(text);
    await visitor.leave(() => visitor.page.keyboard.press("Enter"));
    // Searching for a whole value leads to the key itself.
    await visitor.page.getByText("Findable").first().waitFor();
  }
  const visited = await visitor.page.evaluate(() => navigation.entries().map(({ url }) => url));
  assert.ok(visited.length > 6 && !visited.some((url) => url.includes(created.key)));
  await visitor.close();
});

test("search in a project finds a key by its parts and by its value", async () => {
  const created = await createKey("In its project", { customAccountId: "customer-98" });
  const visitor = await visit({ as: "admin" });
  for (const text of [created.key, created.id, "its proj", "customer-98"]) {
    await visitor.go(`/projects/${ids.projects}/keys`);
    await visitor.page.getByLabel("Search keys").fill(text);
    await visitor.leave(() => visitor.page.keyboard.press("Enter"));
    await visitor.page.getByText("In its project").first().waitFor();
  }
  await visitor.close();
});

test("the shortcuts are listed, with and without scripts", async () => {
  for (const script of [true, false]) {
    const visitor = await visit({ as: "admin", script });
    await visitor.go("/projects");
    if (script) await visitor.page.keyboard.press("?");
    else await visitor.page.getByRole("link", { name: "Keyboard shortcuts" }).click();
    await visitor.page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
    await visitor.page.getByRole("row", { name: /g then c/ }).waitFor();
    await visitor.close();
  }
});

test("who saves second is told what is saved, and loses nothing", async () => {
  const { id } = await createKey("Edited twice");
  const { key } = await api("POST", "/access-keys", { name: "Somebody else", role: "user" });
  secrets.add(key);
  accessKeys.other = key;
  const [first, second] = [await visit({ as: "other" }), await visit({ as: "admin" })];
  for (const visitor of [first, second]) await visitor.go(`/keys/${id}/edit`);
  await first.page.getByLabel("Customer ID").fill("customer-of-first");
  await first.page.getByRole("button", { name: "Save" }).click();
  await first.page.getByRole("heading", { name: "Edited twice" }).waitFor();
  await second.page.getByLabel("Name").fill("Renamed by second");
  await second.page.getByRole("button", { name: "Save" }).click();
  const alert = second.page.getByRole("alert");
  assert.match(await alert.textContent(), /changed by Somebody else.*customer-of-first/s);
  assert.equal(await second.page.getByLabel("Name").inputValue(), "Renamed by second");
  await first.close();
  await second.close();
});

test("a key is created and revoked without scripts, and its name is only text", async () => {
  const name = "<img src=x onerror=alert(1)> Ключ 鍵 🔑";
  for (const script of [false, true]) {
    const visitor = await visit({ as: "admin", script });
    const { page } = visitor;
    await visitor.go(`/projects/${ids.projects}/keys/new`);
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Metadata").fill('{"note": "</code><script>alert(1)</script>"}');
    await page.getByRole("button", { name: "Create Key" }).click();
    const value = await visitor.takeValue();
    await page.getByRole("link", { name: "I have copied it" }).click();
    await page.getByRole("heading", { name }).waitFor();
    await page.getByRole("link", { name: "Revoke…" }).click();
    await page.getByLabel("Type the name").fill(name);
    await page.getByRole("button", { name: "Revoke the key" }).click();
    await page.getByText(/3\/3 gateways refuse it after/).waitFor();
    assert.deepEqual(await statuses(value), [401, 401, 401]);
    assert.equal(await page.locator("img[src=x], main script").count(), 0);
    await visitor.close();
  }
  assert.ok(secrets.size > 0);
});

test("all keys of a customer are revoked after its ID was typed, and no others", async () => {
  const customAccountId = "Kunde & Söhne";
  const keys = [await createKey("First of two", { customAccountId }), await createKey("Second of two", { customAccountId })];
  const other = await createKey("Of nobody");
  for (const script of [true, false]) {
    const visitor = await visit({ as: "admin", script });
    const { page } = visitor;
    await visitor.go(`/keys/${keys[0].id}`);
    await page.getByRole("link", { name: "all of its keys" }).click();
    await page.getByRole("row", { name: /Second of two/ }).waitFor();
    await page.getByRole("link", { name: "Revoke all keys of this customer…" }).click();
    if (script) {
      await page.getByText("2 active keys").waitFor();
      await page.getByLabel("Type the customer ID").fill(customAccountId);
      await page.getByRole("button", { name: "Revoke the keys" }).click();
      await page.getByText(/3\/3 gateways refuse them after/).waitFor();
    } else {
      await page.getByText("No active key").waitFor();
    }
    await visitor.close();
  }
  for (const { key } of keys) assert.deepEqual(await statuses(key), [401, 401, 401]);
  assert.deepEqual(await statuses(other.key), [200, 200, 200]);
});

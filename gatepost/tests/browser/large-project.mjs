// A project of many keys, named `Key 0` and so on: a long test starts this after it has imported them.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ORIGIN, api, browser, held, visit } from "./site.mjs";

const MIB = 1024 * 1024;
const KEYS = Number(process.env.KEYS);
// Pages of the list that are visited one after the other.
const PAGES = 50;
// Times that each page is fetched to measure the time of the server.
const FETCHES = 9;

test("a project of many keys is paged and searched", async (t) => {
  const timed = async (name, act) => {
    const start = performance.now();
    await act();
    t.diagnostic(`${name}: ${Math.round(performance.now() - start)} ms`);
  };
  const [{ id }] = await api("GET", "/projects");
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const devtools = await visitor.context.newCDPSession(page);
  const next = page.getByRole("link", { name: "Next" });
  const search = async (text) => {
    await page.getByLabel("Search keys").fill(text);
    await page.keyboard.press("Enter");
  };

  await timed("the list", () => visitor.go(`/projects/${id}/keys`));
  await timed("the next page", () => Promise.all([page.waitForNavigation(), next.click()]));
  const first = await held(devtools);
  for (let number = 0; number < PAGES; number += 1) await Promise.all([page.waitForNavigation(), next.click()]);
  const last = await held(devtools);
  const growth = `${JSON.stringify(first)} became ${JSON.stringify(last)} after ${PAGES} pages`;
  assert.ok(last.bytes < first.bytes + 2 * MIB && last.nodes < 3 * first.nodes, growth);
  t.diagnostic(growth);

  const name = `Key ${KEYS - 1}`;
  await timed("a search for one of all keys", async () => {
    await search(name);
    await page.getByRole("link", { name, exact: true }).waitFor({ timeout: 60_000 });
  });
  await timed("a search in vain", async () => {
    await search("no key has this name");
    await page.getByText(/No key/).first().waitFor({ timeout: 60_000 });
  });
  const searched = await held(devtools);
  assert.ok(searched.bytes < first.bytes + 2 * MIB, `${JSON.stringify(searched)} after the searches`);
  await visitor.close();
});

test("each page of a project of many keys takes the server a moment", async (t) => {
  const [{ id }] = await api("GET", "/projects");
  const [key] = await api("GET", `/api-keys?projectId=${id}&limit=1`);
  const { events: [{ cursor }] } = await api("GET", "/events?order=desc&limit=1");
  const visitor = await visit({ as: "admin" });
  for (const path of [
    "/projects", "/projects?status=deleted", `/projects/${id}`, `/projects/${id}/keys`, `/projects/${id}/keys?status=active`,
    `/projects/${id}/keys?q=Key`, `/projects/${id}/keys/new`, `/keys/${key.id}`, `/keys/${key.id}/edit`,
    `/keys/${key.id}/revoke`, `/projects/${id}/webhooks`, `/projects/${id}/webhooks/new`, `/projects/${id}/changes`,
    "/changes", `/changes/${cursor}`, "/access-keys", "/gateways", "/explain", "/search?q=Key", "/import", "/account",
    "/system",
  ]) {
    const times = [];
    for (let fetched = 0; fetched < FETCHES; fetched += 1) {
      const start = performance.now();
      const response = await visitor.context.request.get(`${ORIGIN}/dashboard${path}`);
      assert.equal(response.status(), 200, path);
      times.push(performance.now() - start);
    }
    times.sort((one, other) => one - other);
    t.diagnostic(`${path.replaceAll(id, "{id}").replaceAll(key.id, "{key}")}: ${times[FETCHES >> 1].toFixed(1)} ms`);
  }
  await visitor.close();
});

after(() => browser.close());

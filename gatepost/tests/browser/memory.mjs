// The memory of a browser that stays open: what it holds does not grow with what it has shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, createKey, held, until, visit } from "./site.mjs";

const MIB = 1024 * 1024;
// As in admin/assets/app.js.
const MAX_TAIL_ROWS = 500;
// Changes of these keys come at a time, so that the list fills fast.
const KEYS = 25;
// Pages of a list that are visited one after the other.
const PAGES = 12;

test("going through the pages of a long list holds no more than one of them", async () => {
  const { id } = (await api("GET", "/projects")).find(({ name }) => name === "From elsewhere");
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const devtools = await visitor.context.newCDPSession(page);
  await visitor.go(`/projects/${id}/keys`);
  const next = page.getByRole("link", { name: "Next" });
  const first = await held(devtools);
  for (let number = 2; number <= PAGES; number += 1) await Promise.all([page.waitForNavigation(), next.click()]);
  const last = await held(devtools);
  const growth = `${JSON.stringify(first)} became ${JSON.stringify(last)} after ${PAGES} pages`;
  assert.ok(last.bytes < first.bytes + 2 * MIB, growth);
  // A browser keeps empty documents for a while, so that only what is in them tells.
  assert.ok(last.nodes < 3 * first.nodes, growth);
  await visitor.close();
});

test("the tail of changes holds the newest rows only, and waits while it is paused", async () => {
  const projectId = (await api("POST", "/projects", { name: "Busy", env: "live" })).id;
  const create = async (_, number) => (await createKey(`Busy ${number}`, { projectId })).id;
  const keys = await Promise.all(Array.from({ length: KEYS }, create));
  const change = (key, name) => api("PATCH", `/api-keys/${key}`, { name: `Changed ${name}` });
  const changeAll = async (rounds) => {
    for (let round = 1; round <= rounds; round += 1) await Promise.all(keys.map((key) => change(key, round)));
  };
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const devtools = await visitor.context.newCDPSession(page);
  const rows = page.locator("tbody tr");
  const shows = (name) => rows.first().getByText(`Changed ${name}`, { exact: true }).waitFor({ timeout: 30_000 });
  await visitor.follow(`/projects/${projectId}/changes`);
  await changeAll(MAX_TAIL_ROWS / KEYS);
  await change(keys[0], "until the list is full");
  await shows("until the list is full");
  const full = await held(devtools);
  await changeAll(MAX_TAIL_ROWS / KEYS / 2);
  await change(keys[0], "once more");
  await shows("once more");
  await until(async () => (await rows.count()) === MAX_TAIL_ROWS);
  const later = await held(devtools);
  const growth = `${JSON.stringify(full)} became ${JSON.stringify(later)}`;
  assert.ok(later.bytes < full.bytes + 2 * MIB && later.nodes < 1.5 * full.nodes, growth);

  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused.", { exact: true }).waitFor();
  await change(keys[0], "while it is paused");
  await page.getByText("Paused. New changes wait.").waitFor();
  assert.equal(await page.getByText("Changed while it is paused").count(), 0);
  await change(keys[0], "after that");
  await page.getByRole("button", { name: "Continue" }).click();
  await shows("after that");
  await until(async () => (await rows.nth(1).textContent()).includes("Changed while it is paused"));
  await page.getByText("New changes appear on top.").waitFor();
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "CSV" }).click();
  assert.equal((await download).suggestedFilename(), "changes.csv");
  assert.ok(await visitor.isKept());
  await visitor.close();
});

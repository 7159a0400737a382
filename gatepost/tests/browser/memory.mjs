// The memory of a browser that stays open: what it holds does not grow with what it has shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, createKey, until, visit } from "./site.mjs";

const MIB = 1024 * 1024;
// As in admin/assets/app.js.
const MAX_TAIL_ROWS = 500;
const FURTHER = 200;

// Returns what a page holds after the garbage is collected: bytes of its scripts, documents and nodes.
async function held(devtools) {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return { bytes: usedSize, ...(await devtools.send("Memory.getDOMCounters")) };
}

test("going through the pages of a long list holds no more than one of them", async () => {
  const { id } = (await api("GET", "/projects")).find(({ name }) => name === "From elsewhere");
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const devtools = await visitor.context.newCDPSession(page);
  await visitor.go(`/projects/${id}/keys`);
  const next = page.getByRole("link", { name: "Next" });
  const first = await held(devtools);
  let pages = 1;
  for (; await next.count() > 0; pages += 1) {
    await Promise.all([page.waitForNavigation(), next.click()]);
  }
  assert.ok(pages >= 20, `${pages} pages`);
  const last = await held(devtools);
  const growth = `${JSON.stringify(first)} became ${JSON.stringify(last)} after ${pages} pages`;
  assert.ok(last.bytes < first.bytes + 2 * MIB, growth);
  assert.ok(last.documents <= first.documents + 2 && last.nodes < 3 * first.nodes, growth);
  await visitor.close();
});

test("the tail of changes holds the newest rows only, and waits while it is paused", async () => {
  const project = (await api("POST", "/projects", { name: "Busy", env: "live" })).id;
  const { id } = await createKey("Changed again and again", { projectId: project });
  const change = async (number) => api("PATCH", `/api-keys/${id}`, { name: `Changed ${number}` });
  const changeAll = async (first, last) => {
    for (let number = first; number <= last; number += 1) await change(number);
  };
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  const devtools = await visitor.context.newCDPSession(page);
  const rows = page.locator("tbody tr");
  const shows = (number) => rows.first().getByText(`Changed ${number}`, { exact: true }).waitFor({ timeout: 30_000 });
  await visitor.follow(`/projects/${project}/changes?subject=${id}`);
  await changeAll(1, MAX_TAIL_ROWS);
  await shows(MAX_TAIL_ROWS);
  const full = await held(devtools);
  await changeAll(MAX_TAIL_ROWS + 1, MAX_TAIL_ROWS + FURTHER);
  await shows(MAX_TAIL_ROWS + FURTHER);
  await until(async () => (await rows.count()) === MAX_TAIL_ROWS);
  const later = await held(devtools);
  const growth = `${JSON.stringify(full)} became ${JSON.stringify(later)}`;
  assert.ok(later.bytes < full.bytes + 2 * MIB && later.nodes < 1.5 * full.nodes, growth);

  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused.", { exact: true }).waitFor();
  await change("while it is paused");
  await page.getByText("Paused. New changes wait.").waitFor();
  assert.equal(await page.getByText("Changed while it is paused").count(), 0);
  await change("after that");
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

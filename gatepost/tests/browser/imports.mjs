// Keys from a file: tried first, then imported, and sent again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, ids, statuses, visit } from "./site.mjs";

const ROWS = Number(process.env.IMPORTED_ROWS);
const FAULTY = { 17: "Short,short", [ROWS / 2]: "Without a value,", [ROWS - 1]: "Twice a column,import-a,import-b" };
const CREATED = ROWS - 3;

// Returns a file of keys, with three rows that are refused.
function file() {
  const rows = Array.from({ length: ROWS }, (_, index) => FAULTY[index + 1] ?? `Imported ${index},imported-key-${index}`);
  const buffer = Buffer.from(`name,key\n${rows.join("\n")}\n`);
  return { name: "keys.csv", mimeType: "text/csv", buffer };
}

async function upload(visitor, project) {
  await visitor.go("/import");
  await visitor.page.getByLabel("Project of rows that name none").selectOption(project);
  await visitor.page.locator("#file").setInputFiles(file());
  await visitor.page.getByRole("button", { name: "Upload and try" }).click();
  await visitor.page.getByRole("heading", { name: "What the import would do" }).waitFor({ timeout: 60_000 });
}

async function fact({ page }, name) {
  const text = await page.locator("dt", { hasText: name }).locator("+ dd").textContent();
  return Number(text.replaceAll(/\D/g, ""));
}

// Keeps the numbers of created keys that a page shows. Runs in the page.
function recordProgress() {
  const created = () => [...document.querySelectorAll("dt")].find((term) => term.textContent === "Created");
  const read = () => Number(created()?.nextElementSibling.textContent.replaceAll(/\D/g, ""));
  globalThis.progress = [read()];
  new MutationObserver(() => globalThis.progress.push(read())).observe(document.body, { subtree: true, childList: true, characterData: true });
}

// Starts the import, and follows it on its page.
async function followImport(visitor) {
  const { page } = visitor;
  await page.getByRole("button", { name: /^Import .* keys$/ }).click();
  await page.getByRole("heading", { name: "Importing" }).waitFor();
  await visitor.mark();
  await page.evaluate(recordProgress);
  await page.getByText("The page follows the progress.").waitFor();
  await page.getByRole("heading", { name: "Import ended" }).waitFor({ timeout: 60_000 });
  assert.equal(await page.title(), "Import ended · Gatepost", "the title follows the heading");
  const progress = await page.evaluate(() => globalThis.progress);
  assert.deepEqual(progress, [...progress].sort((one, other) => one - other), "it only grows");
  assert.equal(progress.at(-1), CREATED);
  assert.ok(await visitor.isKept(), "the page was not loaded again");
}

test("an import is tried first, shows its progress and faults, and creates nothing twice", async (t) => {
  const project = (await api("POST", "/projects", { name: "From elsewhere", env: "live" })).id;
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await upload(visitor, project);
  assert.equal(await fact(visitor, "Would be created"), CREATED);
  assert.deepEqual(await page.locator("tbody tr td:first-child").allTextContents(), Object.keys(FAULTY));
  assert.deepEqual(await api("GET", `/api-keys?projectId=${project}&limit=1`), [], "nothing is written yet");
  await t.test("its progress appears by itself until the end", () => followImport(visitor));
  assert.deepEqual([await fact(visitor, "Created"), await fact(visitor, "Refused")], [CREATED, 3]);
  assert.deepEqual(await statuses("imported-key-0"), [200, 200, 200]);
  await upload(visitor, project);
  assert.deepEqual([await fact(visitor, "Would be created"), await fact(visitor, "Exist already")], [0, CREATED]);
  assert.equal(await page.getByRole("button", { name: /^Import / }).count(), 0);
  await visitor.close();
  ids.manyKeys = project;
});

// Opens the keys of the import that have a text, the newest first.
async function findKeys(visitor, text) {
  await visitor.go(`/projects/${ids.manyKeys}/keys?q=${encodeURIComponent(text)}`);
  return visitor.page.getByRole("link", { name: text, exact: true });
}

test("a search finds the oldest of many keys without a click, and says when there is none", async () => {
  for (const script of [true, false]) {
    const visitor = await visit({ as: "admin", script });
    await (await findKeys(visitor, "Imported 0")).waitFor({ timeout: 60_000 });
    if (script) await visitor.page.locator("#rest [hx-get]").waitFor({ state: "detached", timeout: 60_000 });
    await findKeys(visitor, "nothing like this");
    await visitor.page.getByText("No key matches").waitFor({ timeout: 60_000 });
    await visitor.close();
  }
});

test("keys that a search finds are added to the page that is open, each once", async () => {
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await findKeys(visitor, "Imported 1");
  await page.getByRole("navigation", { name: "Parts of the list" }).waitFor({ timeout: 60_000 });
  const names = await page.getByRole("rowheader").allTextContents();
  assert.equal(names.length, 50);
  assert.equal(new Set(names).size, 50);
  assert.ok(page.url().endsWith("/keys?q=Imported%201"), page.url());
  await visitor.close();
});

// Every page: accessible, within the screen, quiet in the console, and without secrets.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { OTHER_ROUTES, PAGES, pathOf } from "./page-list.mjs";
import { ids, secrets, visit } from "./site.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
// All that can differ in dark colours.
const COLOUR_RULES = { type: "rule", values: ["color-contrast", "link-in-text-block"] };
const ROUTER = new URL("../../../admin/src/dashboard.rs", import.meta.url);

// Pages that are checked at the same time.
const LANES = 2;
const MAX_FIRST_VIEW_BYTES = 100_000;
// Screens that each page must fit on: width in pixels, and size of text.
const SCREENS = [[1280, "100%"], [1280, "200%"], [320, "100%"]];

test("every route is in the list of pages", () => {
  const router = readFileSync(ROUTER, "utf8");
  const routes = [...router.matchAll(/\.route\(\s*"([^"]+)",\s*get\(/g)].map(([, route]) => route);
  assert.ok(routes.length > 10);
  const known = new Set([...OTHER_ROUTES, ...PAGES.map(({ route }) => route)]);
  assert.deepEqual([...known].filter((route) => !routes.includes(route)), ["/nothing"]);
  assert.deepEqual(routes.filter((route) => !known.has(route)), []);
});

test("every page is accessible and keeps secrets", { concurrency: LANES }, async (t) => {
  const lane = (number) => checkAll(t, PAGES.filter((_, index) => index % LANES === number));
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
});

async function checkAll(t, entries) {
  // One browser for each kind of visitor: a new one takes longer than a page.
  const visitors = new Map();
  for (const entry of entries) {
    const as = entry.as ?? "admin";
    if (!visitors.has(as)) visitors.set(as, await visit({ as: as === "stranger" ? undefined : as }));
    await t.test(`${entry.route} as ${as}`, () => check(visitors.get(as), entry));
  }
  for (const visitor of visitors.values()) await visitor.close();
}

test("the first view of a page loads less than 100 KB in all", async () => {
  for (const path of ["/projects", `/projects/${ids.projects}`, `/projects/${ids.projects}/keys`]) {
    const visitor = await visit({ as: "admin" });
    const network = await visitor.context.newCDPSession(visitor.page);
    await network.send("Network.enable");
    let bytes = 0;
    network.on("Network.loadingFinished", ({ encodedDataLength }) => { bytes += encodedDataLength; });
    await visitor.go(path);
    await visitor.page.waitForLoadState("networkidle");
    assert.ok(bytes > 50_000 && bytes < MAX_FIRST_VIEW_BYTES, `${path}: ${bytes} bytes`);
    await visitor.close();
  }
});

async function check(visitor, entry) {
  const { page } = visitor;
  await page.setViewportSize({ width: 1280, height: 900 });
  await visitor.go(pathOf(entry));
  if (entry.act) await entry.act(page);
  const source = await page.content();
  const shown = [...secrets].filter((secret) => source.includes(secret));
  assert.deepEqual(shown, [], "a secret is in the page");
  await page.evaluate(AXE);
  await page.emulateMedia({ colorScheme: "light" });
  for (const [width, size] of SCREENS) {
    await page.setViewportSize({ width, height: 900 });
    await checkScreen(page, size, RULES, `${width} px, text at ${size}, light`);
  }
  await page.emulateMedia({ colorScheme: "dark" });
  await checkScreen(page, "100%", COLOUR_RULES, "dark");
}

async function checkScreen(page, size, runOnly, screen) {
  assert.deepEqual(await page.evaluate(findFaults, [size, { runOnly }]), [], screen);
}

// Runs in the page.
async function findFaults([size, rules]) {
  document.documentElement.style.fontSize = size;
  // Only what is wrong is described: that takes long for all the rest.
  const { violations } = await globalThis.axe.run(document, { ...rules, resultTypes: ["violations"], selectors: false });
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ").slice(0, 400)}`);
  const excess = document.documentElement.scrollWidth - innerWidth;
  return excess > 0 ? [...found, `${excess} px wider than the screen`] : found;
}

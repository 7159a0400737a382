// The tail of changes while a control plane is killed and started again. An end-to-end test starts this with a store, and
// with another control plane on it, which goes on.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { after, test } from "node:test";
import { api, browser, createKey, ids, origins, visit } from "./site.mjs";

ids.projects = (await api("POST", "/projects", { name: "Restarted", env: "live" })).id;

const PORT = await freePort();
const URL_OF_SECOND = `http://127.0.0.1:${PORT}`;
origins.push(URL_OF_SECOND);

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

let second;

async function start() {
  const listen = ["--admin-listen", `127.0.0.1:${PORT}`, "--ops-listen", "127.0.0.1:0"];
  const command = ["control-plane", "--no-deliverer", "--store", process.env.STORE, ...listen];
  second = spawn(process.env.GATEPOST, command, { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  await new Promise((resolve) => {
    second.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes(`127.0.0.1:${PORT}`)) resolve();
    });
  });
}

async function kill() {
  const exited = once(second, "exit");
  second.kill("SIGKILL");
  await exited;
}

async function cursorsOfAll() {
  const { events } = await api("GET", "/events?limit=1000&type=api-key.created");
  return events.map(({ cursor }) => cursor);
}

const shown = (page) => page.locator("tbody tr a").evaluateAll((links) =>
  links.map((link) => link.getAttribute("href")).filter((href) => href.includes("/changes/")).map((href) => href.split("/").at(-1)));

test("the tail goes on after a restart, and tells what was trimmed meanwhile", async () => {
  await start();
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await createKey("Before");
  await visitor.go(`${URL_OF_SECOND}/dashboard/changes?type=api-key.created`);
  await page.getByText("Before").waitFor();
  await page.evaluate(() => { globalThis.isKept = true; });
  await createKey("While it runs");
  await page.getByText("While it runs").waitFor();

  await kill();
  await page.getByText("This page is not updated by itself now.").waitFor();
  for (let number = 1; number <= 5; number += 1) await createKey(`While it is down ${number}`);
  await start();
  await page.getByText("While it is down 5").waitFor({ timeout: 30_000 });
  await createKey("Afterwards");
  await page.getByText("Afterwards").waitFor();
  assert.deepEqual((await shown(page)).reverse(), await cursorsOfAll(), "none is missing or doubled");
  assert.equal(await page.getByText("no longer kept").count(), 0);
  assert.equal(await page.locator(".live-note").isVisible(), false);

  const { events } = await api("GET", "/events?limit=1000&type=api-key.created");
  const keys = events.map(({ subject }) => subject);
  await kill();
  const newest = (await cursorsOfAll()).at(-1);
  // More than are kept.
  for (let number = 1; number <= 1100 / keys.length; number += 1) {
    await Promise.all(keys.map((key) => api("PATCH", `/api-keys/${key}`, { name: `Renamed ${number}` })));
  }
  await createKey("After the gap");
  while ((await api("GET", `/events?limit=1&after=${newest}`)).continues !== "trimmed") {
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  await start();
  await page.getByText("After the gap").waitFor({ timeout: 60_000 });
  const rows = await page.locator("tbody tr").allTextContents();
  assert.match(rows[0], /After the gap/);
  assert.equal(rows[1], "Some changes in between are no longer kept.");
  assert.match(rows[2], /Afterwards/);
  assert.ok(await page.evaluate(() => globalThis.isKept), "the page was not loaded again");
  visitor.faults.length = 0;
  await visitor.close();
});

after(async () => {
  second?.kill("SIGKILL");
  await browser.close();
});

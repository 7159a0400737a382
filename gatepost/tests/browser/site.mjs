// The site under test: its addresses, what is stored in it, and visitors with a browser.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { receiver } from "./receiver.mjs";
import { chromium } from "playwright-core";

export const ORIGIN = process.env.DASHBOARD_ORIGIN;
export const GATEWAYS = process.env.GATEWAYS.split(" ");
export const GATEWAY_PIDS = (process.env.GATEWAY_PIDS ?? "").split(" ").map(Number);
export const ADMIN = process.env.ACCESS_KEY;
// A host name of this machine that is no loopback name, so that browsers treat it as one of another machine.
const NAME = "keys.example.com";
export const NAMED_ORIGIN = ORIGIN.replace("127.0.0.1", NAME);

export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", `--host-resolver-rules=MAP ${NAME} 127.0.0.1`],
});

// Where pages may come from.
export const origins = [ORIGIN, NAMED_ORIGIN];

// Values that no page, address or log may show.
export const secrets = new Set([ADMIN]);

// Ids of what `prepare` stores, by the first part of a page's path.
export const ids = {};
export const accessKeys = { admin: ADMIN };

export async function api(method, path, body) {
  const headers = { "x-api-key": ADMIN };
  const response = await fetch(ORIGIN + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

async function createAccessKey(role, projectId) {
  const { key } = await api("POST", "/access-keys", { name: `A ${role}`, role, projectId });
  secrets.add(key);
  return key;
}

export async function createKey(name, more) {
  const created = await api("POST", "/api-keys", { name, projectId: ids.projects, ...more });
  secrets.add(created.key);
  return created;
}

export async function createWebhook(name, path, more) {
  const topics = ["api-key.created", "api-key.updated"];
  const webhook = { name, url: receiver.url + path, httpMethod: "POST", topics, projectId: ids.projects, ...more };
  const created = await api("POST", "/webhooks", webhook);
  secrets.add(created.secret);
  return created;
}

// Waits until something is there, and returns it. Looks for it that often, twenty times a second.
export async function until(find, attempts = 600) {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const found = await find();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return assert.fail(`in vain: ${find}`);
}

// Stops a process, and waits until no thread of it runs any more: the kernel stops each when it schedules it.
export async function stop(pid) {
  process.kill(pid, "SIGSTOP");
  const states = () => readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0];
  });
  await until(() => states().every((state) => state === "T"));
}

// Waits until a delivery of a webhook has failed, and returns the id of its event.
export async function someDelivery(webhook) {
  const tried = await until(async () => {
    const { deliveries } = await api("GET", `/webhooks/${webhook}/deliveries`);
    return deliveries.find(({ attempts }) => attempts > 0);
  });
  return tried.eventId;
}

// Fills the store before the first visit.
export async function prepare() {
  ids.projects = (await api("POST", "/projects", { name: "Online shop", env: "live" })).id;
  ids.testProject = (await api("POST", "/projects", { name: "Sandbox", env: "test" })).id;
  ids["access-keys"] = (await api("POST", "/access-keys", { name: "Unused", role: "viewer" })).id;
  accessKeys.viewer = await createAccessKey("viewer");
  accessKeys.project = await createAccessKey("admin", ids.testProject);
  const limits = { rateLimit: 100, rateLimitTtl: 60, expiry: "2099-01-01T00:00:00Z", customAccountId: "customer-7" };
  ids.keys = (await createKey("Mobile app", { ...limits, customMetaData: { plan: "pro" } })).id;
  await createKey("Web shop", { customAccountId: "customer-8" });
  ids.revoked = (await createKey("Old integration")).id;
  await api("DELETE", `/api-keys/${ids.revoked}`);
  ids.cursor = (await api("GET", "/events?order=desc")).events[0].cursor;
  await prepareDeletedProject();
  for (let number = 1; number <= 30; number += 1) await createKey(`Partner ${number}`);
  ids.webhooks = (await createWebhook("Unreliable", "/broken")).id;
  await createKey("Seen by webhooks");
  ids.event = await someDelivery(ids.webhooks);
  const since = new Date(Date.now() - 3_600_000).toISOString();
  ids.recovery = (await api("POST", `/webhooks/${ids.webhooks}/recover`, { since, status: "all" })).recoveryId;
}

async function prepareDeletedProject() {
  const projectId = (await api("POST", "/projects", { name: "Closed shop", env: "live" })).id;
  await createKey("Key of the closed shop", { projectId });
  await createWebhook("Hook of the closed shop", "/closed", { projectId });
  secrets.add((await api("POST", "/access-keys", { name: "Key of closed shop", role: "viewer", projectId })).key);
  await api("DELETE", `/projects/${projectId}`);
  ids.deletedProject = projectId;
}

const sessions = new Map();

// Signs in once per access key, which may do so ten times a minute.
async function sessionOf(accessKey) {
  if (!sessions.has(accessKey)) {
    const body = new URLSearchParams({ key: accessKey });
    const response = await fetch(`${ORIGIN}/dashboard/sign-in`, {
      method: "POST", body, headers: { origin: ORIGIN }, redirect: "manual",
    });
    assert.equal(response.status, 303);
    sessions.set(accessKey, /gatepost=([^;]+)/.exec(response.headers.get("set-cookie"))[1]);
  }
  return sessions.get(accessKey);
}

// Opens a browser without history. `as` is a name in `accessKeys`, or nothing for a stranger.
export async function visit({ as, scheme = "light", width = 1280, script = true } = {}) {
  const context = await browser.newContext({
    colorScheme: scheme, viewport: { width, height: 900 }, javaScriptEnabled: script, reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(10_000);
  if (as) {
    const value = await sessionOf(accessKeys[as]);
    await context.addCookies([{ name: "gatepost", value, domain: "127.0.0.1", path: "/dashboard", sameSite: "Lax" }]);
  }
  return new Visitor(context, await context.newPage());
}

class Visitor {
  constructor(context, page) {
    this.context = context;
    this.page = page;
    // What must not happen on any page.
    this.faults = [];
    this.urls = [];
    page.on("console", (message) => this.hear(message));
    page.on("pageerror", (error) => this.faults.push(`${page.url()}: ${error.message}`));
    page.on("dialog", (dialog) => this.faults.push(`${page.url()}: ${dialog.message()}`) && dialog.dismiss());
    page.on("request", (request) => this.urls.push(request.url()));
  }

  hear(message) {
    const [text, url] = [message.text(), this.page.url()];
    // A page that is itself the response to a refused form.
    const isPage = text.startsWith("Failed to load resource") && message.location().url === url;
    // Over plain http from another machine, browsers ignore a header, which protects over https.
    const isPlain = text.startsWith("The Cross-Origin-Opener-Policy header has been ignored") && url.startsWith(NAMED_ORIGIN);
    // A page was left before its stream had begun, or while its search went on.
    const isLeft = text.startsWith("htmx: htmx:error: Failed to fetch") && /\/hx-sse\.min\.js|div\.htmx-request/.test(text);
    if (["error", "warning"].includes(message.type()) && !isPage && !isPlain && !isLeft) this.faults.push(`${url}: ${text}`);
  }

  go(path) {
    return this.page.goto(path.startsWith("http") ? path : `${ORIGIN}/dashboard${path}`);
  }

  // Does what leads to another page, and waits for that page: the one that is left may have the same texts.
  async leave(action) {
    const left = this.page.url();
    await action();
    await this.page.waitForURL((url) => url.href !== left);
  }

  // Opens a page, and waits until it is followed.
  async follow(path) {
    const stream = this.page.waitForResponse((response) => response.url().includes("/dashboard/live/"));
    await this.go(path);
    assert.equal((await stream).status(), 200);
    await this.mark();
  }

  // A page that is loaded again forgets this.
  mark() {
    return this.page.evaluate(() => { globalThis.isKept = true; });
  }

  isKept() {
    return this.page.evaluate(() => globalThis.isKept === true);
  }

  // Goes on with the keyboard to an element, and returns it. `name` is its whole name, or a pattern.
  tabTo(role, name) {
    return this.tabToElement(this.page.getByRole(role, { name, exact: true }));
  }

  async tabToElement(target) {
    for (let presses = 0; presses < 100; presses += 1) {
      if (await target.evaluate((element) => element === document.activeElement)) return target;
      await this.page.keyboard.press("Tab");
    }
    return assert.fail(`the keyboard does not reach ${target}`);
  }

  async pressOn(role, name) {
    await this.tabTo(role, name);
    const loaded = role === "link" || !name.startsWith("Copy") ? this.page.waitForNavigation() : undefined;
    await this.page.keyboard.press("Enter");
    await loaded;
  }

  // Returns the new value that a page shows once.
  async takeValue() {
    await this.page.getByText("Copy it now. It is not shown again.").waitFor();
    const value = await this.page.locator("output code, .value code").first().textContent();
    secrets.add(value);
    return value;
  }

  // Closes the browser, and checks what must hold on all pages that were visited.
  async close() {
    const foreign = this.urls.filter((url) => !origins.includes(new URL(url).origin));
    const leaking = this.urls.filter((url) => [...secrets].some((secret) => url.includes(secret)));
    await this.context.close();
    assert.deepEqual({ faults: this.faults, foreign, leaking }, { faults: [], foreign: [], leaking: [] });
  }
}

// Returns what a page holds after the garbage is collected: bytes of its scripts, and what is in its documents.
export async function held(devtools) {
  await devtools.send("HeapProfiler.collectGarbage");
  const { usedSize } = await devtools.send("Runtime.getHeapUsage");
  return { bytes: usedSize, ...(await devtools.send("Memory.getDOMCounters")) };
}

// Returns the status of a request with a key at each gateway.
export async function statuses(key) {
  const request = async (gateway) => (await fetch(`${gateway}/x`, { headers: { "x-api-key": key } })).status;
  return Promise.all(GATEWAYS.map(request));
}

// Who sees what, the end of sessions, and forms of other sites.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { ORIGIN, accessKeys, api, ids, secrets, visit } from "./site.mjs";
import { PAGES, pathOf } from "./page-list.mjs";

const post = (page, path) =>
  page.evaluate(async (url) => (await fetch(url, { method: "POST" })).status, `${ORIGIN}/dashboard${path}`);

test("a viewer sees no control that changes anything", async () => {
  const visitor = await visit({ as: "viewer" });
  for (const entry of PAGES.filter((entry) => !entry.as && !entry.act && !entry.reads)) {
    const answer = await visitor.go(pathOf(entry));
    assert.ok([200, 403, 404].includes(answer.status()), pathOf(entry));
    const controls = await visitor.page.locator("main :is(.primary, .danger)").allTextContents();
    const refusing = answer.status() === 200 ? controls : [];
    assert.deepEqual(refusing, [], pathOf(entry));
  }
  await visitor.go("/projects");
  assert.equal(await post(visitor.page, "/projects/new"), 403);
  visitor.faults.length = 0;
  await visitor.close();
});

test("an access key of one project sees that project only", async () => {
  const visitor = await visit({ as: "project" });
  await visitor.go("");
  assert.equal(visitor.page.url(), `${ORIGIN}/dashboard/projects/${ids.testProject}`);
  await visitor.page.getByText("TEST DATA").waitFor();
  assert.equal(await visitor.page.getByRole("link", { name: "Gateways" }).count(), 0);
  assert.equal((await visitor.go("/gateways")).status(), 403);
  for (const path of [`/projects/${ids.projects}`, `/keys/${ids.keys}`]) {
    assert.equal((await visitor.go(path)).status(), 404);
  }
  await visitor.close();
});

async function freshAccessKey(name) {
  const created = await api("POST", "/access-keys", { name, role: "user" });
  secrets.add(created.key);
  accessKeys[name] = created.key;
  return created;
}

async function chooseFromMenu(visitor, name) {
  await visitor.page.locator("details.menu > summary").click();
  await visitor.page.getByRole("button", { name, exact: true }).click();
  await visitor.page.getByLabel("Access key").waitFor();
}

test("after signing out, going back shows nothing", async () => {
  await freshAccessKey("leaving");
  const visitor = await visit({ as: "leaving" });
  await visitor.go(`/projects/${ids.projects}`);
  await chooseFromMenu(visitor, "Sign out");
  await visitor.page.goBack();
  await visitor.page.getByLabel("Access key").waitFor();
  assert.ok(!(await visitor.page.content()).includes("Online shop"));
  await visitor.close();
});

test("signing out everywhere, and revoking the access key, end other browsers", async () => {
  const { id } = await freshAccessKey("everywhere");
  const [first, second] = [await visit({ as: "everywhere" }), await visit({ as: "everywhere" })];
  await second.follow(`/projects/${ids.projects}/changes`);
  await first.go("/projects");
  await chooseFromMenu(first, "Sign out everywhere");
  // The page of the second browser leads to the sign-in by itself.
  await second.page.getByLabel("Access key").fill(accessKeys.everywhere);
  await second.page.getByRole("button", { name: "Sign in" }).click();
  await second.page.getByRole("heading", { name: "Changes" }).waitFor();
  await second.follow("/gateways");
  await api("DELETE", `/access-keys/${id}`);
  await second.page.getByLabel("Access key").waitFor();
  await first.close();
  await second.close();
});

// Runs in the page of another site.
async function sendForm([url, mode]) {
  const body = new URLSearchParams({ name: "Forged", env: "live" });
  return fetch(url, { method: "POST", mode, credentials: "include", body }).then(({ type }) => type, () => "refused");
}

test("other sites can neither send forms nor show the dashboard in a frame", async () => {
  const attack = `<!doctype html><title>x</title><iframe src="${ORIGIN}/dashboard/projects"></iframe>
    <form method="post" action="${ORIGIN}/dashboard/projects/new"><input name="name" value="Forged"><button>Go</button></form>`;
  const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(attack));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const visitor = await visit({ as: "admin" });
  for (const host of ["localhost", "127.0.0.1"]) {
    await visitor.go(`http://${host}:${server.address().port}/`);
    const frame = visitor.page.frames()[1];
    assert.equal(await frame.locator("main").count(), 0);
    for (const mode of ["cors", "no-cors"]) {
      assert.equal(await visitor.page.evaluate(sendForm, [`${ORIGIN}/dashboard/projects/new`, mode]), "refused", mode);
    }
    const [answer] = await Promise.all([visitor.page.waitForNavigation(), visitor.page.getByText("Go").click()]);
    assert.equal(answer.status(), 403);
  }
  assert.ok(!JSON.stringify(await api("GET", "/projects")).includes("Forged"));
  assert.equal((await visitor.context.request.get(`${ORIGIN}/projects`)).status(), 401, "cookies open no API");
  await visitor.context.close();
  server.close();
});

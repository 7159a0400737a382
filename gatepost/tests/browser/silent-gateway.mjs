// A gateway that is never heard again: an end-to-end test starts this with one whose lease is short.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { GATEWAY_PIDS, api, browser, createKey, ids, stop, visit } from "./site.mjs";

ids.projects = (await api("POST", "/projects", { name: "Behind a gateway", env: "live" })).id;

test("the page of a change says when a silent gateway refuses all keys, without being loaded again", async () => {
  const created = await createKey("Revoked behind its back");
  const visitor = await visit({ as: "admin" });
  const { page } = visitor;
  await stop(GATEWAY_PIDS[0]);
  try {
    await api("DELETE", `/api-keys/${created.id}`);
    const { cursor } = (await api("GET", `/events?order=desc&subject=${created.id}`)).events[0];
    await visitor.go(`/changes/${cursor}`);
    await visitor.mark();
    await page.getByText(/0\/1 gateways have applied it/).waitFor();
    await page.getByText(/must refuse all keys by \d{4}-/).waitFor();
    await page.getByText("1 gateway is not listed any more: stopped, or silent for so long").waitFor({ timeout: 60_000 });
    assert.equal(await page.getByText(/0\/1 gateways/).count(), 0);
    assert.ok(await visitor.isKept());
  } finally {
    process.kill(GATEWAY_PIDS[0], "SIGCONT");
  }
  await visitor.close();
});

after(() => browser.close());

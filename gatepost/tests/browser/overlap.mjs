// The end of an overlap that began a minute or more ago, in `keys.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rotated } from "./keys.mjs";
import { statuses, until, visit } from "./site.mjs";

test("after the overlap only the new value of a rotated key is accepted", async () => {
  // Nothing to wait for, if other tests have taken the minute.
  await until(async () => (await statuses(rotated.old)).every((status) => status === 401), 1200);
  assert.deepEqual(await statuses(rotated.value), [200, 200, 200]);
  const visitor = await visit({ as: "admin" });
  await visitor.go(`/keys/${rotated.id}`);
  await visitor.page.getByRole("rowheader", { name: /^Current/ }).waitFor();
  assert.equal(await visitor.page.getByRole("rowheader", { name: /^Old, replaced/ }).count(), 0);
  await visitor.close();
});

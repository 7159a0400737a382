// Signing in by a link, and where browsers and clients land.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN, ORIGIN, visit } from "./site.mjs";

test("a link signs in after one click, and only once", async () => {
  const visitor = await visit();
  await visitor.go(process.env.LINK);
  await visitor.page.getByRole("button", { name: "Sign in as" }).click();
  await visitor.page.getByRole("heading", { name: "Projects" }).waitFor();
  const second = await visit();
  await second.go(process.env.LINK);
  await second.page.getByText("This link cannot be used").waitFor();
  await visitor.close();
  await second.close();
});

test("an access key signs in, and a wrong one is not shown again", async () => {
  const visitor = await visit();
  await visitor.go(`${ORIGIN}/`);
  const field = visitor.page.getByLabel("Access key");
  await field.fill("live_access_that_is_wrong");
  await visitor.page.getByRole("button", { name: "Sign in" }).click();
  await visitor.page.getByText("This is no access key, or it was revoked or has expired").waitFor();
  assert.ok(!(await visitor.page.content()).includes("live_access_that_is_wrong"));
  await field.fill(ADMIN);
  await visitor.page.getByRole("button", { name: "Sign in" }).click();
  await visitor.page.getByRole("heading", { name: "Projects" }).waitFor();
  await visitor.close();
});

test("browsers land on the dashboard, and clients get JSON", async () => {
  const visitor = await visit({ as: "admin" });
  await visitor.go(`${ORIGIN}/`);
  assert.equal(visitor.page.url(), `${ORIGIN}/dashboard/projects`);
  await visitor.close();
  const answer = await fetch(`${ORIGIN}/`);
  assert.match(answer.headers.get("content-type"), /json/);
});

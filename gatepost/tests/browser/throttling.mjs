// Guessing access keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ORIGIN, visit } from "./site.mjs";

test("who sends many wrong access keys is asked to wait", async () => {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const body = new URLSearchParams({ key: `live_access_${attempt}` });
    const answer = await fetch(`${ORIGIN}/dashboard/sign-in`, { method: "POST", body, headers: { origin: ORIGIN } });
    assert.ok([401, 429].includes(answer.status), `${answer.status}`);
  }
  const visitor = await visit();
  await visitor.go("/sign-in");
  await visitor.page.getByLabel("Access key").fill("live_access_last");
  await visitor.page.getByRole("button", { name: "Sign in" }).click();
  await visitor.page.getByText(/There were too many attempts\. Try again in \d+ s/).waitFor();
  await visitor.close();
});

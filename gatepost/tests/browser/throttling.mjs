// Guessing access keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ORIGIN, until, visit } from "./site.mjs";

const MAX_ROUNDS = 5;

async function guess(number) {
  const body = new URLSearchParams({ key: `live_access_${number}` });
  const answer = await fetch(`${ORIGIN}/dashboard/sign-in`, { method: "POST", body, headers: { origin: ORIGIN } });
  assert.ok([401, 429].includes(answer.status), `${answer.status}`);
}

test("who sends many wrong access keys is asked to wait", async () => {
  const visitor = await visit();
  const { page } = visitor;
  await visitor.go("/sign-in");
  // One more attempt is open every three seconds, which a slow browser may take.
  await until(async () => {
    await Promise.all(Array.from({ length: 25 }, (_, number) => guess(number)));
    await page.getByLabel("Access key").fill("live_access_last");
    await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Sign in" }).click()]);
    return await page.getByText(/There were too many attempts\. Try again in \d+ s/).count() > 0;
  }, MAX_ROUNDS);
  await visitor.close();
});

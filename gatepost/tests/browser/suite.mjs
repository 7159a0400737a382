// The dashboard in a real Chromium. An end-to-end test starts this with the addresses of a running site.
import { after } from "node:test";
import { writeFileSync } from "node:fs";
import { browser, prepare, secrets } from "./site.mjs";

await prepare();

await import("./sign-in.mjs");
await import("./keys.mjs");
await import("./forms.mjs");
await import("./webhooks.mjs");
await import("./deliveries.mjs");
await import("./imports.mjs");
await import("./live.mjs");
await import("./access.mjs");
await import("./memory.mjs");
await import("./pages.mjs");
await import("./overlap.mjs");
// Comes last: afterwards this address is throttled.
await import("./throttling.mjs");

after(async () => {
  await browser.close();
  // The end-to-end test looks for them in the logs.
  writeFileSync(process.env.SECRETS_FILE, [...secrets].join("\n"));
});

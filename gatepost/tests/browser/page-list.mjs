// Every page of the dashboard. The suite fails if a route of admin/src/dashboard.rs is missing here.
import { ids } from "./site.mjs";

// route: as in the router; {id} is the id in `ids` of the part before it, or `id`; {event} and others are those of `ids`.
// as: whose browser, "stranger" for nobody's; an admin's otherwise.
// from: where to begin, if the page has no address before something is done.
// reads: its buttons change nothing, so a viewer may use them.
// act: what to do on the page before it is checked, so that further pages and states are reached.
export const PAGES = [
  { route: "/sign-in", as: "stranger" },
  { route: "/projects" },
  { route: "/projects", as: "viewer" },
  { route: "/projects", from: "/projects?status=deleted" },
  { route: "/projects", act: (page) => filterProjects(page, "sand") },
  { route: "/projects/new" },
  { route: "/projects/{id}" },
  { route: "/projects/{id}", id: () => ids.testProject },
  { route: "/projects/{id}", id: () => ids.deletedProject },
  { route: "/projects/{id}/delete" },
  { route: "/projects/{id}/keys" },
  { route: "/projects/{id}/keys", act: (page) => search(page, "nothing like this") },
  { route: "/projects/{id}/keys", from: "/projects/{id}/keys?customer=customer-7" },
  { route: "/projects/{id}/keys/revoke", from: "/projects/{id}/keys/revoke?customer=customer-7" },
  { route: "/projects/{id}/keys/revoke", from: "/projects/{id}/keys/revoke?customer=customer-8", act: (page) => revokeAll(page, "customer-8") },
  { route: "/projects/{id}/keys/new" },
  { route: "/projects/{id}/keys/new", act: (page) => submit(page, "Create Key", { Name: "Any key", "Rate limit": "5" }) },
  { route: "/projects/{id}/keys/new", act: (page) => submit(page, "Create Key", { Name: "Checked key" }) },
  { route: "/projects/{id}/keys/new", act: (page) => submit(page, "Create Key", { Name: "Any key", Expires: "soon", Metadata: "{" }) },
  { route: "/keys/{id}" },
  { route: "/keys/{id}", id: () => ids.revoked },
  { route: "/keys/{id}/edit" },
  { route: "/keys/{id}/rotate" },
  { route: "/keys/{id}/rotate", act: (page) => submit(page, "Rotate", {}) },
  { route: "/keys/{id}/revoke" },
  { route: "/projects/{id}/webhooks" },
  { route: "/projects/{id}/webhooks", id: () => ids.testProject },
  { route: "/projects/{id}/webhooks/new" },
  { route: "/projects/{id}/webhooks/new", act: (page) => hook(page, "Save New Hook", "ftp://nowhere") },
  { route: "/projects/{id}/webhooks/new", act: (page) => hook(page, "Test Connection", "http://127.0.0.1:9/") },
  { route: "/projects/{id}/webhooks/new", act: (page) => hook(page, "Save New Hook", "http://127.0.0.1:9/") },
  { route: "/webhooks/{id}" },
  { route: "/webhooks/{id}", as: "viewer" },
  { route: "/webhooks/{id}/edit" },
  { route: "/webhooks/{id}/rotate-secret" },
  { route: "/webhooks/{id}/test" },
  { route: "/webhooks/{id}/delete" },
  { route: "/webhooks/{id}/deliveries" },
  { route: "/webhooks/{id}/deliveries/{event}" },
  { route: "/webhooks/{id}/dead-letters" },
  { route: "/webhooks/{id}/recover" },
  { route: "/webhooks/{id}/recoveries/{recovery}" },
  { route: "/projects/{id}/changes" },
  { route: "/changes" },
  { route: "/changes", as: "viewer" },
  { route: "/changes/{cursor}" },
  { route: "/access-keys" },
  { route: "/access-keys/new" },
  { route: "/access-keys/new", act: (page) => submit(page, "Create Access Key", { Name: "Nightly job" }) },
  { route: "/access-keys/{id}/revoke" },
  { route: "/account" },
  { route: "/gateways" },
  { route: "/explain", reads: true },
  { route: "/explain", act: (page) => submit(page, "Explain", { Key: "live_" + "x".repeat(24) }) },
  { route: "/search" },
  { route: "/search", act: (page) => searchAll(page, "Partner 1") },
  { route: "/shortcuts" },
  { route: "/import" },
  { route: "/import/{id}", from: "/import", act: upload },
  { route: "/system" },
  { route: "/system/quarantine" },
  { route: "/nothing" },
];

// Routes that are no pages: a redirect, files, what pages follow, and what they add.
export const OTHER_ROUTES = [
  "/", "/assets/{digest}/{name}", "/system/quarantine/{cursor}", "/changes.csv", "/projects/{id}/changes.csv",
  "/import/{id}/refused.csv",
  ...["/keys/{id}", "/projects/{id}/changes", "/changes", "/changes/{cursor}", "/gateways", "/import/{id}", "/system",
    "/webhooks/{id}", "/webhooks/{id}/deliveries", "/webhooks/{id}/deliveries/{event}",
    "/webhooks/{id}/recoveries/{recovery}"].map((page) => `/live${page}`),
  ...["/projects/{id}/keys", "/search", "/projects/{id}/changes", "/changes", "/webhooks/{id}/deliveries",
    "/webhooks/{id}/dead-letters"].map((page) => `/more${page}`),
];

export function pathOf({ route, from, id }) {
  const path = (from ?? route).replace(/([a-z-]+)\/\{id\}/, (_, kind) => `${kind}/${id ? id() : ids[kind]}`);
  return path.replace(/\{(\w+)\}/, (_, name) => ids[name]);
}

async function submit(page, button, entries) {
  for (const [label, text] of Object.entries(entries)) await page.getByLabel(label).first().fill(text);
  await page.getByRole("button", { name: button }).click();
}

// Fills the form of a webhook, and presses a button of it.
export async function hook(page, button, url) {
  await page.getByLabel("Endpoint").fill(url);
  await page.getByLabel("Name required").fill("From the form");
  await page.getByRole("checkbox", { name: /^api-key.created/ }).check();
  await page.getByRole("button", { name: button }).click();
}

async function revokeAll(page, customer) {
  await page.getByLabel("Type the customer ID").fill(customer);
  await page.getByRole("button", { name: "Revoke the keys" }).click();
  await page.getByText("1 key of the customer").waitFor();
}

async function filterProjects(page, text) {
  await page.getByLabel("Name or ID").fill(text);
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByRole("link", { name: "Online shop" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Sandbox" }).waitFor();
}

async function search(page, text) {
  await page.getByLabel("Search keys").fill(text);
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByText("No key matches").waitFor();
}

async function searchAll(page, text) {
  const form = page.getByRole("main").getByRole("search");
  await form.getByRole("textbox").or(form.getByRole("searchbox")).fill(text);
  await form.getByRole("button", { name: "Search" }).click();
  await page.getByRole("heading", { name: "API keys" }).waitFor();
}

// Uploads keys of which one has a fault.
async function upload(page) {
  const rows = `name,key,projectId\nImported,import-0123456789,${ids.projects}\nWithout value,,${ids.projects}\n`;
  await page.locator("#file").setInputFiles({ name: "keys.csv", mimeType: "text/csv", buffer: Buffer.from(rows) });
  await page.getByRole("button", { name: "Upload and try" }).click();
  await page.getByRole("region", { name: "Refused rows", exact: true }).first().waitFor();
}

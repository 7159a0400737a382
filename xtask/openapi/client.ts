// Lifecycle of a key with the types that openapi-typescript generates from the document, and openapi-fetch.
// Environment: HOST, ACCESS_KEY.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const { HOST, ACCESS_KEY } = process.env;
const client = createClient<paths>({ baseUrl: HOST, headers: { "x-api-key": ACCESS_KEY } });

const project = await client.POST("/projects", { body: { name: "typescript", env: "test" } });
assert(project.data, JSON.stringify(project.error));
const projectId = project.data.id;

const input: components["schemas"]["CreateApiKey"] = {
  name: "Jane",
  projectId,
  expiry: "2090-01-01",
  rateLimitConfigs: { rateLimit: 100, rateLimitTtl: 60 },
};
const created = await client.POST("/api-keys", { body: input });
assert(created.data, JSON.stringify(created.error));
const { id, key } = created.data;

const listed = await client.GET("/api-keys", { params: { query: { projectId, isActive: true } } });
assert.deepEqual(listed.data?.map((one) => one.id), [id]);

const params = { path: { key: id } };
const renamed = await client.PATCH("/api-keys/{key}", { params, body: { ...listed.data[0], name: "Joan" } });
assert.equal(renamed.data?.name, "Joan", JSON.stringify(renamed.error));
const used = await client.POST("/api-keys/auth/{key}", { params: { path: { key } } });
assert.equal(used.data?.name, "Joan");

const revoked = await client.DELETE("/api-keys/{key}", { params });
assert.equal(revoked.data, true);
const rejected = await client.POST("/api-keys/auth/{key}", { params: { path: { key } } });
assert.equal(rejected.error?.code, "invalid-client-key");

// @ts-expect-error: an unknown member does not compile
const mistyped: components["schemas"]["CreateApiKey"] = { name: "Jane", expiresAt: "2090-01-01" };
assert.equal((await client.POST("/api-keys", { body: mistyped })).response.status, 400);

// Calls every method of a client of the hosted product, unmodified from npm, with an admin API.
// Argument: the package. Environment: HOST, ACCESS_KEY (of a user of an account), ACCOUNT_ID.
// Exits with 1 at the first response that differs from what the users of the client expect.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [name] = process.argv.slice(2);
const { HOST, ACCESS_KEY, ACCOUNT_ID } = process.env;
const required = createRequire(import.meta.url)(name);
const TheAuthAPI = required.default ?? required;

const called = new Set();
const client = recorded(new TheAuthAPI(ACCESS_KEY, { host: `${HOST}/`, retryCount: 0 }), "");
for (const part of ["accounts", "apiKeys", "projects"]) client[part] = recorded(client[part], `${part}.`);
const { accounts, apiKeys, projects } = client;

await accountsAndProjects();
await keys();
await changes();
await copies();
await deprecatedMethod();
await refusals();
assert.deepEqual(methods().filter((method) => !called.has(method)), [], "methods that were not called");
console.log(`${name}: ${called.size} methods`);

// Records the called methods.
function recorded(target, prefix) {
  return new Proxy(target, {
    get(object, member) {
      const value = object[member];
      if (typeof value !== "function") return value;
      return (...args) => (called.add(prefix + member), value.apply(object, args));
    },
  });
}

// Returns all methods of the package. `getKeysFilterEndpoint` is a helper of `getKeys`.
function methods() {
  const of = (object, prefix) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(object)).map((member) => prefix + member);
  const all = [client, accounts, apiKeys, projects].flatMap((object, index) =>
    of(object, ["", "accounts.", "apiKeys.", "projects."][index]),
  );
  return all.filter((method) => !/constructor$|getKeysFilterEndpoint$/.test(method));
}

async function accountsAndProjects() {
  const account = await accounts.getAccount(ACCOUNT_ID);
  assert.equal(account.id, ACCOUNT_ID);
  assert(account.createdAt instanceof Date);
  const made = await projects.createProject({ name: "made", accountId: ACCOUNT_ID, env: "test" });
  assert.equal(made.env, "test");
  const listed = await projects.getProjects(ACCOUNT_ID);
  assert(listed.some((project) => project.id === made.id));
  const renamed = await projects.updateProject(made.id, { name: "renamed" });
  assert.equal(renamed.name, "renamed");
  assert.deepEqual(await projects.getProject(made.id), renamed);
  const key = await apiKeys.createKey({ name: "k", projectId: made.id });
  assert.equal(await apiKeys.isValidKey(key.key), true);
  assert.equal(await projects.deleteProject(made.id), true);
  assert.equal(await apiKeys.isValidKey(key.key), false);
}

async function keys() {
  const project = await projects.createProject({ name: "keys", accountId: ACCOUNT_ID, env: "live" });
  const input = {
    name: "Jane",
    projectId: project.id,
    customMetaData: { plan: "gold", since: new Date("2020-01-02T03:04:05.678Z") },
    customAccountId: "customer",
    customUserId: "user",
    expiry: new Date("2090-01-01T00:00:00.000Z"),
  };
  const key = await apiKeys.createKey(input);
  assert.match(key.key, /^live_[0-9A-Za-z]{64}$/);
  assert.deepEqual(key.customMetaData, input.customMetaData);
  for (const expiry of [key.expiry, key.expiresAt]) assert.deepEqual(expiry, input.expiry);
  const used = await apiKeys.authenticateKey(key.key);
  assert.deepEqual([used.key, used.customAccountId, used.isActive], [key.key, "customer", true]);
  assert.equal((await apiKeys.getKey(key.key)).key, key.key);
  await lists(project, key);
  const chosen = await apiKeys.createKey({ name: "chosen", projectId: project.id, key: `chosen-${project.id}` });
  assert.equal(await apiKeys.isValidKey(chosen.key), true);
  assert.equal(await apiKeys.deleteKey(chosen.key), true);
  assert.equal(await apiKeys.isValidKey(chosen.key), false);
  assert.equal(await apiKeys.isValidKey("nope"), false);
}

async function lists(project, key) {
  const all = await apiKeys.getKeys();
  assert(Array.isArray(all));
  assert.equal((await apiKeys.getKeys({})).length, all.length);
  for (const filter of [
    { projectId: project.id },
    { projectId: project.id, name: "jane" },
    { projectId: project.id, customUserId: "user", customAccountId: "customer", isActive: true },
  ]) {
    const [listed, ...others] = await apiKeys.getKeys(filter);
    assert.deepEqual([listed.name, others], [key.name, []], JSON.stringify(filter));
    // The value in a list identifies the key in all other methods.
    assert.equal((await apiKeys.getKey(listed.key)).name, key.name);
  }
  assert.deepEqual(await apiKeys.getKeys({ projectId: project.id, isActive: false }), []);
}

async function deprecatedMethod() {
  const project = await projects.createProject({ name: "old", accountId: ACCOUNT_ID, env: "live" });
  const key = await apiKeys.createKey({ name: "k", projectId: project.id, customMetaData: { a: 1 }, customUserId: "u" });
  const found = await client.authenticateAPIKey(key.key);
  assert.deepEqual(found, { authenticated: true, customMetaData: { a: 1 }, customAccountId: null, customUserId: "u" });
  // It does not throw errors, but passes them to its callback.
  const error = await new Promise((resolve) => client.authenticateAPIKey("nope", resolve));
  assert.match(String(error), /404/);
  assert.equal(await client.authenticateAPIKey("nope"), undefined);
}

async function refusals() {
  const refused = (statusCode, message) => (error) => {
    assert.deepEqual([error.statusCode, error.message], [statusCode, `(${statusCode}): ${message}`]);
    return true;
  };
  await assert.rejects(apiKeys.getKey("nope"), refused(404, "Invalid client key"));
  await assert.rejects(projects.getProject("nope"), refused(404, "there is no such project"));
  const project = await projects.createProject({ name: "limited", accountId: ACCOUNT_ID, env: "live" });
  const rateLimitConfigs = { rateLimit: 1, rateLimitTtl: 3600 };
  const limited = await apiKeys.createKey({ name: "limited", projectId: project.id, rateLimitConfigs });
  assert.deepEqual(limited.rateLimitConfigs, rateLimitConfigs);
  assert.equal(await apiKeys.isValidKey(limited.key), true);
  await assert.rejects(apiKeys.isValidKey(limited.key), refused(429, "Too many requests"));
  await assert.rejects(projects.createProject({ name: "p", accountId: "other", env: "live" }), (error) => {
    return error.statusCode === 403;
  });
  const guessing = new TheAuthAPI("live_access_wrong", { host: HOST, retryCount: 0 });
  await assert.rejects(guessing.apiKeys.isValidKey("nope"), refused(401, "Invalid access key"));
}

async function changes() {
  const project = await projects.createProject({ name: "changes", accountId: ACCOUNT_ID, env: "live" });
  const key = await apiKeys.createKey({ name: "before", projectId: project.id });
  const updated = await apiKeys.updateKey(key.key, { name: "after", customMetaData: { plan: "silver" } });
  assert.deepEqual([updated.key, updated.name, updated.customMetaData], [key.key, "after", { plan: "silver" }]);
  await apiKeys.deleteKey(key.key);
  const active = await apiKeys.reactivateKey(key.key);
  assert.deepEqual([active.key, active.isActive], [key.key, true]);
  assert.equal(await apiKeys.isValidKey(key.key), true);
  if (apiKeys.rotateKey === undefined) return;
  const rotated = await apiKeys.rotateKey(key.key);
  assert.notEqual(rotated.key, key.key);
  assert.deepEqual([await apiKeys.isValidKey(rotated.key), await apiKeys.isValidKey(key.key)], [true, false]);
}

// Sends whole objects back, as they were read, listed and created, with one member changed.
async function copies() {
  const project = await projects.createProject({ name: "copies", accountId: ACCOUNT_ID, env: "test" });
  const [listed] = (await projects.getProjects(ACCOUNT_ID)).filter((one) => one.id === project.id);
  for (const copy of [project, listed, await projects.getProject(project.id)]) {
    assert.equal((await projects.updateProject(project.id, { ...copy, name: "edited" })).name, "edited");
  }
  const key = await apiKeys.createKey({
    name: "copied",
    projectId: project.id,
    customMetaData: { since: new Date("2020-01-02T03:04:05.678Z") },
    expiry: new Date("2090-01-01T00:00:00.000Z"),
    rateLimitConfigs: { rateLimit: 100, rateLimitTtl: 60 },
  });
  await apiKeys.authenticateKey(key.key);
  const [inList] = await apiKeys.getKeys({ projectId: project.id });
  for (const copy of [key, inList, await apiKeys.getKey(key.key), await apiKeys.getKey(inList.key)]) {
    const expiry = new Date("2091-01-01T00:00:00.000Z");
    const updated = await apiKeys.updateKey(copy.key, { ...copy, name: "edited", expiry });
    assert.deepEqual([updated.name, updated.expiresAt, updated.isActive], ["edited", expiry, true]);
    assert.deepEqual(updated.rateLimitConfigs, key.rateLimitConfigs);
    await apiKeys.updateKey(copy.key, { ...updated, expiry: key.expiry });
    assert.equal(await apiKeys.isValidKey(key.key), true);
  }
  // An object that was read before a revocation does not reactivate the key.
  const before = await apiKeys.getKey(key.key);
  await apiKeys.deleteKey(key.key);
  await assert.rejects(apiKeys.updateKey(key.key, { ...before, name: "reactivated" }), (error) => error.statusCode === 409);
  assert.equal(await apiKeys.isValidKey(key.key), false);
}

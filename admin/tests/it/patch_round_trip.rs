//! Copies of resources that are sent back with PATCH: they do not fail for what the server itself moved, and never
//! revive what was revoked.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Caller, Fixture, code, execute, text};

const PUBLIC: &str = "https://93.184.215.14/hook";

/// A JSON object with some members changed.
fn with(copy: &Value, changes: &Value) -> Value {
    let mut copy = copy.clone();
    copy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    copy
}

async fn check_status(caller: &Caller<'_>, value: &str) -> u16 {
    caller.send(Method::POST, &format!("/api-keys/auth/{value}"), None).await.0
}

async fn event_types(caller: &Caller<'_>, after: u64) -> Vec<String> {
    let (_, page) = caller.get(&format!("/events?after={after}")).await;
    page["events"].as_array().unwrap().iter().map(|event| text(event, "type")).collect()
}

async fn position(fixture: &Fixture) -> u64 {
    fixture.store.single_cell().last_position().await.unwrap().as_u64()
}

/// A key with everything that a key can have.
async fn full_key(caller: &Caller<'_>, project: &str) -> Value {
    let all = json!({
        "customMetaData": {"a": [1, null]}, "customAccountId": "c", "customUserId": "u", "expiry": "2099-01-01",
        "permissions": ["read"], "allowedDomains": ["*.example.com"], "allowedIps": ["127.0.0.0/8", "::1"],
        "rateLimitConfigs": {"rateLimit": 100, "rateLimitTtl": 0.5 + 1.0}, "quota": {"limit": 5, "period": "day"},
        "clientIP": "192.0.2.1", "clientUserAgent": "agent",
    });
    caller.create_key(project, all).await
}

/// What is stable of a resource that nothing changed but the PATCH itself.
fn without_volatile_members(resource: &Value) -> Value {
    let mut resource = resource.clone();
    for stamp in ["updatedAt", "lastChangedBy", "lastChangedByType", "lastUsedAt", "secret", "accessKey", "key"] {
        resource.as_object_mut().unwrap().remove(stamp);
    }
    resource
}

#[tokio::test]
async fn every_resource_can_be_sent_back_as_it_was_returned() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, accounts) = admin.get("/accounts").await;
    let (_, new_account) = admin.post("/accounts", json!({"name": "second"})).await;
    let second = fixture.caller_with_key(&text(&new_account["accessKey"], "key"));
    let (_, project) = admin.post("/projects", json!({"name": "p", "env": "test"})).await;
    let key = full_key(&admin, &text(&project, "id")).await;
    let of_project = json!({"name": "a", "projectId": project["id"], "role": "viewer"});
    let (_, access_key) = admin.post("/access-keys", of_project).await;
    let hook = json!({
        "name": "w", "url": PUBLIC, "topics": ["api-key.created"], "projectId": project["id"], "httpMethod": "PUT",
        "customHeaders": {"X-A": "1"}, "status": "paused", "theauthapiSignature": true,
    });
    let (_, webhook) = admin.post("/webhooks", hook).await;
    for (caller, collection, made) in [
        (&admin, "accounts", &accounts[0]),
        (&second, "accounts", &new_account),
        (&admin, "projects", &project),
        (&admin, "api-keys", &key),
        (&admin, "access-keys", &access_key),
        (&admin, "webhooks", &webhook),
    ] {
        let id = text(made, "id");
        // As it was made, as it is listed, and as it is read under each of its names.
        let mut copies = vec![made.clone()];
        let (_, list) = caller.get(&format!("/{collection}")).await;
        copies.push(list.as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap().clone());
        let mut names = vec![id.clone()];
        names.extend(made["key"].as_str().map(str::to_owned));
        for name in &names {
            let (status, read) = caller.get(&format!("/{collection}/{name}")).await;
            if status == 200 {
                copies.push(read);
            }
        }
        for copy in copies {
            for name in &names {
                let path = format!("/{collection}/{name}");
                let (status, patched) = caller.patch(&path, copy.clone()).await;
                assert_eq!(status, 200, "{path} {copy}: {patched}");
                assert_eq!(
                    without_volatile_members(&patched),
                    without_volatile_and_one_time_members(made),
                    "{path} {copy}"
                );
                let (status, renamed) = caller.patch(&path, with(&copy, &json!({"name": "renamed"}))).await;
                assert_eq!((status, &renamed["name"]), (200, &json!("renamed")), "{path}");
                assert_eq!(caller.patch(&path, json!({"name": made["name"]})).await.0, 200, "{path}");
            }
        }
    }
    assert_eq!(fixture.caller_with_key(&text(&access_key, "key")).get("/projects").await.0, 200);
    let request = admin.request(Method::POST, &format!("/api-keys/auth/{}", text(&key, "key")));
    let request = request.header("x-origin-domain", "https://a.example.com").header("x-origin-ip", "127.0.0.1");
    assert_eq!(execute(request).await.0, 200, "the value is the same");
}

/// The same for values that were revealed once, at creation.
fn without_volatile_and_one_time_members(made: &Value) -> Value {
    let mut read = without_volatile_members(made);
    read.as_object_mut().unwrap().remove("theauthapiToken");
    read
}

#[tokio::test]
async fn a_copy_does_not_fail_for_concurrent_changes() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({})).await;
    let (id, value) = (text(&made, "id"), text(&made, "key"));
    // Used, then changed by somebody else.
    assert_eq!(check_status(&admin, &value).await, 200);
    assert_eq!(admin.patch(&format!("/api-keys/{id}"), json!({"permissions": ["read"]})).await.0, 200);
    for path in [format!("/api-keys/{id}"), format!("/api-keys/{value}")] {
        let (status, patched) = admin.patch(&path, with(&made, &json!({"name": "edited"}))).await;
        assert_eq!((status, &patched["name"]), (200, &json!("edited")), "{patched}");
        assert!(patched["firstUsedAt"].is_string(), "{patched}");
    }
    let hook = json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"], "theauthapiSignature": true});
    let (_, webhook) = admin.post("/webhooks", hook).await;
    let path = format!("/webhooks/{}", text(&webhook, "id"));
    let (_, rotated) = admin.post(&format!("{path}/rotate-secret"), json!({"overlapSeconds": 3600})).await;
    for further in [json!({}), json!({"secret": "whsec_…"}), json!({"secret": null}), json!({"oldSecretUntil": null})]
    {
        let (status, patched) = admin.patch(&path, with(&webhook, &further)).await;
        assert_eq!(status, 200, "{patched}");
        assert_eq!(patched["oldSecretUntil"], rotated["oldSecretUntil"], "the secrets are as they were");
        assert_eq!(patched.get("secret"), None, "{patched}");
    }
}

#[tokio::test]
async fn a_rotated_key_does_not_get_its_old_value_back_from_a_copy() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let (drawn, chosen) = (json!({}), |value: &str| json!({"key": value}));
    for (overlap_s, body) in
        [(0, drawn.clone()), (3600, drawn), (0, chosen("my-own-value-0001")), (3600, chosen("my-own-value-0002"))]
    {
        let made = admin.create_key(&project, body).await;
        let (id, old) = (text(&made, "id"), text(&made, "key"));
        let body = json!({"overlapSeconds": overlap_s});
        let (_, rotated) = admin.post(&format!("/api-keys/{old}/rotate"), body).await;
        let (status, patched) = admin.patch(&format!("/api-keys/{id}"), with(&made, &json!({"name": "n"}))).await;
        assert_eq!((status, &patched["name"]), (200, &json!("n")), "{patched}");
        let by_value = admin.patch(&format!("/api-keys/{old}"), json!({"name": "m", "key": old})).await.0;
        assert_eq!(by_value, if overlap_s == 0 { 404 } else { 200 });
        assert_eq!(check_status(&admin, &text(&rotated, "key")).await, 200, "the new value");
        assert_eq!(check_status(&admin, &old).await, if overlap_s == 0 { 404 } else { 200 }, "the old value");
    }
}

#[tokio::test]
async fn a_copy_never_revives_what_was_revoked_meanwhile() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, project) = admin.post("/projects", json!({"name": "p", "env": "live"})).await;
    let key = admin.create_key(&admin.create_project().await, json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
    let (_, webhook) =
        admin.post("/webhooks", json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"]})).await;
    for (collection, made, names_reactivate) in [
        ("api-keys", &key, true),
        ("access-keys", &access_key, true),
        ("projects", &project, true),
        ("webhooks", &webhook, false),
    ] {
        let paths = [made.get("key"), made.get("id")].into_iter().flatten();
        let paths: Vec<String> = paths.map(|name| format!("/{collection}/{}", name.as_str().unwrap())).collect();
        let (status, read) = admin.get(&paths[0]).await;
        let read = if status == 200 { read } else { made.clone() };
        assert_eq!(admin.delete(&paths[0]).await, (200, json!(true)));
        let before = position(&fixture).await;
        for path in &paths {
            for copy in [made, &read, &with(&read, &json!({"name": "edited"})), &json!({"isActive": true})] {
                let (status, problem) = admin.patch(path, copy.clone()).await;
                if names_reactivate {
                    assert_eq!((status, code(&problem)), (409, "conflict"), "{path} {copy}: {problem}");
                    assert!(text(&problem, "detail").contains("/reactivate"), "{problem}");
                } else {
                    assert_eq!(status, 404, "{path} {copy}: {problem}");
                }
            }
        }
        assert_eq!(position(&fixture).await, before, "{collection}: something was changed");
    }
    assert_eq!(check_status(&admin, &text(&key, "key")).await, 404);
    assert_eq!(fixture.caller_with_key(&text(&access_key, "key")).get("/projects").await.0, 401);
    assert_eq!(admin.get(&format!("/projects/{}", text(&project, "id"))).await.1["isActive"], false);
    // Without the member, or with the truth, the rest of it can be changed.
    for path in [format!("/api-keys/{}", text(&key, "id")), format!("/access-keys/{}", text(&access_key, "id"))] {
        for body in
            [json!({"name": "n"}), json!({"name": "m", "isActive": false}), json!({"name": "o", "isActive": null})]
        {
            let (status, patched) = admin.patch(&path, body.clone()).await;
            let found = (status, &patched["name"], &patched["isActive"]);
            assert_eq!(found, (200, &body["name"], &json!(false)), "{path} {body}: {patched}");
        }
    }
    // The way that the refusal names.
    let path = format!("/api-keys/{}", text(&key, "id"));
    assert_eq!(admin.send(Method::PATCH, &format!("{path}/reactivate"), None).await.0, 200);
}

#[tokio::test]
async fn is_active_false_does_what_delete_does() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let user = fixture.caller("a", None, Role::User).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let (_, accounts) = admin.get("/accounts").await;
    let project = admin.create_project().await;
    let of_project = fixture.caller("a", Some(&project), Role::Admin).await;
    let key = admin.create_key(&project, json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
    let (_, webhook) =
        admin.post("/webhooks", json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"]})).await;
    let off = json!({"isActive": false});
    for (path, event, refused, is_fenced) in [
        (format!("/api-keys/{}", text(&key, "key")), "api-key.deleted", vec![&viewer], true),
        (format!("/webhooks/{}", text(&webhook, "id")), "webhook.deleted", vec![&viewer], false),
        (format!("/access-keys/{}", text(&access_key, "id")), "access-key.deleted", vec![&viewer, &user], false),
        (format!("/projects/{project}"), "project.updated", vec![&viewer, &of_project], true),
        (format!("/accounts/{}", text(&accounts[0], "id")), "account.deleted", vec![&viewer, &user, &of_project], true),
    ] {
        for caller in refused {
            assert_eq!(caller.patch(&path, off.clone()).await.0, 403, "{path}");
        }
        let before = position(&fixture).await;
        assert_eq!(admin.patch(&path, json!({"isActive": true})).await.0, 200, "{path}");
        assert_eq!(position(&fixture).await, before, "{path}: it was active already");
        let request = admin.request(Method::PATCH, &path).header("prefer", "wait=5").body(off.to_string());
        let patched = request.send().await.unwrap();
        let propagated = patched.headers().get("gatepost-propagated").map(|reached| reached.to_str().unwrap());
        assert_eq!(propagated, is_fenced.then_some("0/0"), "{path}");
        let (status, patched): (u16, Value) = (patched.status().as_u16(), patched.json().await.unwrap());
        assert_eq!((status, &patched["isActive"]), (200, &json!(false)), "{path}: {patched}");
        if event == "account.deleted" {
            assert_eq!(admin.get("/projects").await.0, 401);
            continue;
        }
        assert_eq!(event_types(&admin, before).await, [event], "{path}");
        let before = position(&fixture).await;
        let again = admin.patch(&path, off.clone()).await.0;
        assert_eq!(again, if event == "webhook.deleted" { 404 } else { 200 }, "{path}");
        assert_eq!(position(&fixture).await, before, "{path}: to repeat it changes nothing");
        if event == "api-key.deleted" {
            assert_eq!(check_status(&admin, &text(&key, "key")).await, 404);
        }
    }
    let (_, problem) = admin.patch(&format!("/api-keys/{}", text(&key, "key")), json!({"isActive": "no"})).await;
    assert_eq!(code(&problem), "invalid-access-key");
}

/// One change, so that nothing is revoked half way and nothing that was asked for is lost.
#[tokio::test]
async fn a_copy_in_which_more_was_changed_is_revoked_by_one_change() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, project) = admin.post("/projects", json!({"name": "p", "env": "live"})).await;
    let key = admin.create_key(&text(&project, "id"), json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
    for (collection, made, event) in [
        ("api-keys", &key, "api-key.deleted"),
        ("access-keys", &access_key, "access-key.deleted"),
        ("projects", &project, "project.updated"),
    ] {
        let path = format!("/{collection}/{}", text(made, "id"));
        let before = position(&fixture).await;
        let request = admin.request(Method::PATCH, &path).header("prefer", "handling=strict");
        let body = with(made, &json!({"isActive": false, "name": "last name"}));
        let (status, patched) = execute(request.body(body.to_string())).await;
        assert_eq!((status, &patched["name"], &patched["isActive"]), (200, &json!("last name"), &json!(false)));
        assert_eq!(event_types(&admin, before).await, [event]);
        let (status, _) = admin.patch(&path, json!({"isActive": false, "name": ""})).await;
        assert_eq!(status, 400, "{path}");
    }
}

#[tokio::test]
async fn immutable_members_may_be_repeated_and_not_changed() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let (_, accounts) = admin.get("/accounts").await;
    let account = text(&accounts[0], "id");
    let key = format!("/api-keys/{}", text(&admin.create_key(&project, json!({})).await, "id"));
    let (_, of_project) = admin.post("/access-keys", json!({"name": "a", "projectId": project})).await;
    let (_, of_account) = admin.post("/access-keys", json!({"name": "a", "role": "admin"})).await;
    let (_, webhook) =
        admin.post("/webhooks", json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"]})).await;
    let webhook = format!("/webhooks/{}", text(&webhook, "id"));
    let (of_project, of_account) =
        (format!("/access-keys/{}", text(&of_project, "id")), format!("/access-keys/{}", text(&of_account, "id")));
    let project_path = format!("/projects/{project}");
    for (path, member, same, different) in [
        (&key, "env", json!("live"), vec![json!("test"), json!("x")]),
        (&key, "projectId", json!(project), vec![json!(other), json!("")]),
        (&key, "accountId", json!(account), vec![json!("acc_00other")]),
        (&project_path, "env", json!("live"), vec![json!("test")]),
        (&project_path, "accountId", json!(account), vec![json!("acc_00other")]),
        (&of_project, "accountId", json!(account), vec![json!("acc_00other")]),
        (&of_project, "projectId", json!(project), vec![json!(other), json!(null)]),
        (&of_account, "projectId", json!(null), vec![json!(project)]),
        (&of_project, "role", json!("user"), vec![json!("admin"), json!("viewer")]),
        (&of_account, "role", json!("admin"), vec![json!("viewer")]),
        (&of_project, "key", json!(of_project.rsplit('/').next()), vec![json!("a-value-of-my-own"), json!("")]),
        (&webhook, "accountId", json!(account), vec![json!("acc_00other")]),
    ] {
        let body = |value: &Value| json!({"name": "n", member: value});
        let (status, patched) = admin.patch(path, body(&same)).await;
        assert_eq!((status, &patched["name"]), (200, &json!("n")), "{path} {member}: {patched}");
        for value in different {
            let (status, problem) = admin.patch(path, body(&value)).await;
            assert_eq!((status, code(&problem)), (400, "validation"), "{path} {member} {value}: {problem}");
            assert!(text(&problem, "detail").starts_with(&format!("{member}: ")), "{problem}");
            // As before, where a client or the operator prefers that.
            let request = admin.request(Method::PATCH, path).header("prefer", "handling=lenient");
            let patched = request.body(body(&value).to_string()).send().await.unwrap();
            assert_eq!(
                (patched.status().as_u16(), &patched.headers()["gatepost-ignored"]),
                (200, &member.parse().unwrap())
            );
            let patched: Value = patched.json().await.unwrap();
            assert!(member == "key" || patched[member] == same, "{patched}");
        }
    }
    for path in [&project_path, &of_project, &format!("/accounts/{account}")] {
        for body in [json!({}), json!({"name": null}), json!({"name": null, "isActive": true}), json!({"name": ""})] {
            assert_eq!(admin.patch(path, body.clone()).await.0, 400, "{path} {body}: a name is what can be changed");
        }
    }
}

#[tokio::test]
async fn members_that_only_the_server_sets_are_refused_unless_they_are_repeated() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, accounts) = admin.get("/accounts").await;
    let (_, project) = admin.post("/projects", json!({"name": "p", "env": "live"})).await;
    let key = admin.create_key(&text(&project, "id"), json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "a"})).await;
    let (_, webhook) =
        admin.post("/webhooks", json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"]})).await;
    for (list, resource, further) in [
        ("accounts", &accounts[0], vec![]),
        ("projects", &project, vec![]),
        ("api-keys", &key, vec![("lastUsedAt", json!("2026-01-01T00:00:00Z"))]),
        ("access-keys", &access_key, vec![("maskedKey", json!("live_access_…"))]),
        (
            "webhooks",
            &webhook,
            vec![("state", json!("paused")), ("secret", json!("whsec_abc")), ("publicKey", json!("whpk_abc"))],
        ),
    ] {
        let path = format!("/{list}/{}", text(resource, "id"));
        let fixed = vec![("createdAt", json!("2020-01-01T00:00:00.000Z")), ("id", json!("other"))];
        for (member, value) in further.into_iter().chain(fixed) {
            let body = json!({"name": "n", member: value});
            let (status, problem) = admin.patch(&path, body.clone()).await;
            let detail = format!("{member}: cannot be changed; only the server sets it");
            assert_eq!((status, text(&problem, "detail")), (400, detail), "{path} {body}");
            let own = json!({"name": resource["name"], member: resource[member]});
            assert_eq!(admin.patch(&path, own.clone()).await.0, 200, "{path} {own}");
        }
    }
    let path = format!("/webhooks/{}", text(&webhook, "id"));
    let lenient = admin.request(Method::PATCH, &path).header("prefer", "handling=lenient");
    let lenient = lenient.body(json!({"state": "paused"}).to_string()).send().await.unwrap();
    assert_eq!((lenient.status().as_u16(), &lenient.headers()["gatepost-ignored"]), (200, &"state".parse().unwrap()));
}

#[tokio::test]
async fn of_the_two_names_of_the_expiry_the_changed_one_applies() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let path = format!("/api-keys/{}", text(&admin.create_key(&project, json!({"expiry": "2040-01-01"})).await, "id"));
    let (old, new) = ("2040-01-01T00:00:00.000Z", "2050-06-01T00:00:00.000Z");
    for (body, expected) in [
        (json!({"expiresAt": "2050-06-01"}), json!(new)),
        (json!({"expiry": old}), json!(old)),
        (json!({"expiry": old, "expiresAt": "2050-06-01"}), json!(new)),
        (json!({"expiry": "2040-01-01 00:00:00", "expiresAt": new}), json!(old)),
        // The same moment in other words is no difference.
        (json!({"expiry": "2040-01-01T02:00:00+02:00", "expiresAt": new}), json!(new)),
        (json!({"expiry": "2040-01-01T01:00:00.000000+01:00", "expiresAt": old}), json!(old)),
        (json!({"expiry": new, "expiresAt": "2050-06-01T05:30:00+05:30"}), json!(new)),
        (json!({"expiry": null, "expiresAt": new}), json!(null)),
        (json!({"expiry": null, "expiresAt": new}), json!(new)),
        (json!({"expiry": new, "expiresAt": null}), json!(null)),
        (json!({"expiry": null, "expiresAt": null}), json!(null)),
        (json!({"expiry": old, "expiresAt": null}), json!(old)),
    ] {
        let (status, patched) = admin.patch(&path, body.clone()).await;
        assert_eq!(
            (status, &patched["expiry"], &patched["expiresAt"]),
            (200, &expected, &expected),
            "{body}: {patched}"
        );
    }
    for body in [
        json!({"expiry": "2050-01-01", "expiresAt": "2051-01-01"}),
        json!({"expiry": null, "expiresAt": "2051-01-01"}),
        json!({"expiresAt": "soon"}),
        json!({"expiry": "soon", "expiresAt": old}),
    ] {
        let (status, problem) = admin.patch(&path, body.clone()).await;
        assert_eq!((status, code(&problem)), (400, "validation"), "{body}: {problem}");
        assert!(text(&problem, "detail").contains("expir"), "{problem}");
    }
    assert_eq!(admin.get(&path).await.1["expiresAt"], old);
}

/// What a webhook has was judged when it was given: to judge it again could fail for what others did.
#[tokio::test]
async fn a_copy_of_a_webhook_is_not_validated_again() {
    let allowing = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = allowing.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let hook = json!({
        "name": "w", "url": "http://localhost:9/", "topics": ["api-key.created"], "projectId": project,
        "theauthapiSignature": true,
    });
    let (_, made) = admin.post("/webhooks", hook).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    assert_eq!(admin.delete(&format!("/projects/{project}")).await.0, 200);
    let (status, paused) = admin.patch(&path, with(&made, &json!({"status": "paused"}))).await;
    assert_eq!((status, &paused["status"], &paused["projectId"]), (200, &json!("paused"), &json!(project)), "{paused}");
    assert_eq!(paused.get("theauthapiToken"), None, "it is the same as before");
    let before = position(&allowing).await;
    assert_eq!(admin.patch(&path, with(&made, &json!({"status": "paused"}))).await.0, 200);
    assert_eq!(position(&allowing).await, before, "nothing was changed");
    let off = with(&made, &json!({"theauthapiSignature": false, "status": "paused"}));
    let (status, off) = admin.patch(&path, off).await;
    assert_eq!((status, &off["theauthapiSignature"]), (200, &json!(false)), "the copy's own token is no new one");

    // An address that is no longer allowed: here by a process that is configured otherwise, over the same store.
    let refusing = allowing.start_second_process(PrivateNetworks::Refused).await;
    let admin = refusing.caller_with_key(&admin.access_key);
    let (_, copy) = admin.get(&path).await;
    assert_eq!(admin.patch(&path, with(&copy, &json!({"name": "renamed"}))).await.0, 200);
    let (status, problem) = admin.patch(&path, with(&copy, &json!({"url": "http://localhost:10/"}))).await;
    assert_eq!((status, code(&problem)), (400, "webhook-address-refused"));
}

#[tokio::test]
async fn a_copy_at_another_version_is_refused_with_if_match() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let made = admin.create_key(&project, json!({})).await;
    let path = format!("/api-keys/{}", text(&made, "id"));
    let tag = admin.request(Method::GET, &path).send().await.unwrap().headers()["etag"].clone();
    let patch = async |body: &Value| {
        let request = admin.request(Method::PATCH, &path).header("if-match", &tag).body(body.to_string());
        execute(request).await.0
    };
    let off = with(&made, &json!({"isActive": false, "name": "off"}));
    assert_eq!(patch(&off).await, 200, "one version is enough for both");
    assert_eq!(patch(&off).await, 412);
    fixture.advance(Duration::from_secs(1));
    assert_eq!(check_status(&admin, &text(&made, "key")).await, 404);
}

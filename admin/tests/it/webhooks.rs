//! Webhooks through the API.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_test_support::MockServer;
use gatepost_webhook_client::PrivateNetworks;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, code, text};

const PUBLIC: &str = "https://93.184.215.14/hook";

fn hook(further: &Value) -> Value {
    let mut body = json!({"name": "w", "url": PUBLIC, "topics": ["api-key.created"], "httpMethod": "POST"});
    body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_webhooks_secret_is_shown_once() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    let (status, made) = caller.post("/webhooks", hook(&json!({"customHeaders": {"X-Mine": "1"}}))).await;
    assert_eq!(status, 201, "{made}");
    assert!(text(&made, "secret").starts_with("whsec_"));
    assert_eq!(made["customHeaders"], json!({"X-Mine": "1"}));
    let path = format!("/webhooks/{}", text(&made, "id"));
    let (status, read) = caller.get(&path).await;
    assert_eq!((status, read.get("secret")), (200, None));
    let (_, list) = caller.get("/webhooks").await;
    assert_eq!(list, json!([read]));
    assert_eq!(caller.delete(&path).await, (200, json!(true)));
    assert_eq!(caller.get(&path).await.0, 404);
    assert_eq!(caller.delete(&path).await.0, 404);
}

#[tokio::test]
async fn a_webhook_that_is_not_valid_is_refused() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    for (further, expected) in [
        (json!({"url": "http://93.184.215.14/"}), "webhook-address-refused"),
        (json!({"url": "https://127.0.0.1/"}), "webhook-address-refused"),
        (json!({"url": "https://[::1]/"}), "webhook-address-refused"),
        (json!({"url": "https://localhost/"}), "webhook-address-refused"),
        (json!({"url": "https://169.254.169.254/latest/meta-data"}), "webhook-address-refused"),
        (json!({"url": "https://user:secret@93.184.215.14/"}), "webhook-address-refused"),
        (json!({"url": "not a url"}), "validation"),
        (json!({"url": null}), "validation"),
        (json!({"topics": []}), "validation"),
        (json!({"topics": ["api-key.rotated"]}), "validation"),
        (json!({"httpMethod": "BREW"}), "validation"),
        (json!({"status": "sleeping"}), "validation"),
        (json!({"customHeaders": {"Webhook-Id": "x"}}), "validation"),
        (json!({"customHeaders": {"webhook_signature": "x"}}), "validation"),
        (json!({"customHeaders": {"Webhook.Timestamp": "x"}}), "validation"),
        (json!({"customHeaders": {"TheAuthAPI~Signature": "x"}}), "validation"),
        (json!({"customHeaders": {"Content_Length": "1"}}), "validation"),
        (json!({"customHeaders": {"Transfer!Encoding": "chunked"}}), "validation"),
        (json!({"customHeaders": {"bad name": "x"}}), "validation"),
        (json!({"customHeaders": {"X-A": "line\nline"}}), "validation"),
    ] {
        let (status, problem) = caller.post("/webhooks", hook(&further)).await;
        assert_eq!((status, code(&problem)), (400, expected), "{further}");
    }
    let allowing = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let caller = allowing.caller("a", None, Role::Admin).await;
    assert_eq!(caller.post("/webhooks", hook(&json!({"url": "http://127.0.0.1:9/"}))).await.0, 201);
}

/// URL and headers of the webhook that a body shows.
fn url_and_headers(body: &Value) -> (&Value, &Value) {
    (&body["url"], &body["customHeaders"])
}

#[tokio::test]
async fn viewers_see_masks_of_urls_and_headers_and_nobody_finds_them_in_the_stream() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let user = fixture.caller("a", None, Role::User).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let secrets = json!({
        "url": "https://93.184.215.14:8443/path-secret?token=query-secret", "customHeaders": {"X-Token": "value-secret"},
    });
    let (status, made) = admin.post("/webhooks", hook(&secrets)).await;
    assert_eq!((status, url_and_headers(&made)), (201, url_and_headers(&secrets)));
    let path = format!("/webhooks/{}", text(&made, "id"));
    admin.patch(&path, json!({"name": "renamed"})).await;
    admin.post(&format!("{path}/rotate-secret"), json!({})).await;
    let masked = json!({"url": "https://93.184.215.14:8443/…", "customHeaders": {"X-Token": "…"}});
    for (caller, expected) in [(&admin, &secrets), (&user, &secrets), (&viewer, &masked)] {
        assert_eq!(url_and_headers(&caller.get(&path).await.1), url_and_headers(expected));
        assert_eq!(url_and_headers(&caller.get("/webhooks").await.1[0]), url_and_headers(expected));
    }
    let (status, events) = admin.get("/events").await;
    assert_eq!(status, 200);
    let events = events.to_string();
    assert!(events.contains("https://93.184.215.14:8443/…") && events.contains("renamed"), "{events}");
    for secret in ["path-secret", "query-secret", "value-secret"] {
        assert!(!events.contains(secret), "{secret} in {events}");
    }
}

#[tokio::test]
async fn a_mask_that_is_sent_back_leaves_what_is_stored_and_no_other_is_taken() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let viewer = fixture.caller("a", None, Role::Viewer).await;
    let secrets = json!({
        "url": "https://93.184.215.14/secret", "customHeaders": {"X-One": "first", "X-Two": "second"},
    });
    let (_, made) = admin.post("/webhooks", hook(&secrets)).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    let (_, copy) = viewer.get(&path).await;
    let mut changed = json!({"name": "new", "url": copy["url"], "customHeaders": copy["customHeaders"]});
    let (status, response) = admin.patch(&path, changed.clone()).await;
    assert_eq!((status, url_and_headers(&response)), (200, url_and_headers(&secrets)), "{response}");
    let version = admin.get(&path).await.1["updatedAt"].clone();
    admin.patch(&path, changed.clone()).await;
    assert_eq!(admin.get(&path).await.1["updatedAt"], version, "nothing was changed");

    changed["customHeaders"] = json!({"x-one": "…", "X-Three": "third"});
    let (status, response) = admin.patch(&path, changed).await;
    assert_eq!((status, &response["customHeaders"]), (200, &json!({"x-one": "first", "X-Three": "third"})));
    for refused in [
        json!({"customHeaders": {"X-Two": "…"}}),
        json!({"customHeaders": {"X-Never": "…"}}),
        json!({"url": "https://example.com/…"}),
        json!({"url": "https://93.184.215.14/secret…"}),
    ] {
        for (status, problem) in
            [admin.patch(&path, refused.clone()).await, admin.post("/webhooks", hook(&refused)).await]
        {
            assert_eq!((status, code(&problem)), (400, "validation"), "{refused}");
            assert!(text(&problem, "detail").contains("masked"), "{problem}");
        }
    }
    let (status, problem) = admin.post("/webhooks/ping", json!({"url": "https://a/", "headers": {"X-A": "…"}})).await;
    assert_eq!((status, code(&problem)), (400, "validation"));
    assert_eq!(admin.get(&path).await.1["url"], secrets["url"]);
}

#[tokio::test]
async fn each_member_of_a_webhook_can_be_changed_alone() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let (_, made) = admin.post("/webhooks", hook(&json!({}))).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    for (change, member, expected) in [
        (json!({"name": "new"}), "name", json!("new")),
        (json!({"projectId": project}), "projectId", json!(project)),
        (json!({"projectId": null}), "projectId", Value::Null),
        (json!({"url": "https://93.184.215.14/other"}), "url", json!("https://93.184.215.14/other")),
        (json!({"topics": ["project.updated"]}), "topics", json!(["project.updated"])),
        (json!({"httpMethod": "delete"}), "httpMethod", json!("DELETE")),
        (json!({"customHeaders": {"X-A": "b"}}), "customHeaders", json!({"X-A": "b"})),
        (json!({"status": "paused"}), "status", json!("paused")),
        (json!({"theauthapiSignature": true}), "theauthapiSignature", json!(true)),
    ] {
        let (_, before) = admin.get(&path).await;
        let (status, changed) = admin.patch(&path, change.clone()).await;
        assert_eq!((status, &changed[member]), (200, &expected), "{change}: {changed}");
        let (_, mut after) = admin.get(&path).await;
        assert_eq!(after[member], expected);
        let derived = if member == "status" { ["state", "stateSince"].as_slice() } else { &[] };
        for untouched in [member, "updatedAt", "lastChangedBy", "lastChangedByType"].iter().chain(derived) {
            after[*untouched] = before[*untouched].clone();
        }
        assert_eq!(after, before, "{change} changed something else too");
    }
    for (change, expected) in [
        (json!({"name": ""}), "validation"),
        (json!({"topics": []}), "validation"),
        (json!({"httpMethod": "BREW"}), "validation"),
        (json!({"customHeaders": {"TheAuthAPI-Signature": "x"}}), "validation"),
        (json!({"url": "https://10.0.0.1/"}), "webhook-address-refused"),
        (json!({"theauthapiToken": "short"}), "validation"),
        (json!({"theauthapiToken": "0123456789abcdef", "theauthapiSignature": false}), "validation"),
    ] {
        let (status, problem) = admin.patch(&path, change.clone()).await;
        assert_eq!((status, code(&problem)), (400, expected), "{change}");
    }
}

#[tokio::test]
async fn a_static_token_is_shown_once_and_apart_from_the_secret() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, made) = admin.post("/webhooks", hook(&json!({"theauthapiToken": "whsec_of_the_hosted_product"}))).await;
    assert_eq!(made["theauthapiToken"], "whsec_of_the_hosted_product");
    let path = format!("/webhooks/{}", text(&made, "id"));
    let (_, read) = admin.get(&path).await;
    assert_eq!((read.get("theauthapiToken"), &read["theauthapiSignature"]), (None, &json!(true)));
    let (_, unchanged) = admin.patch(&path, json!({"theauthapiSignature": true})).await;
    assert_eq!(unchanged.get("theauthapiToken"), None, "it is the same as before");
    admin.patch(&path, json!({"theauthapiSignature": false})).await;
    let (_, drawn) = admin.patch(&path, json!({"theauthapiSignature": true})).await;
    assert!(text(&drawn, "theauthapiToken").starts_with("wht_"));
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, made) = admin.post("/webhooks", hook(&json!({}))).await;
    assert_eq!(made["oldSecretUntil"], Value::Null);
    let path = format!("/webhooks/{}/rotate-secret", text(&made, "id"));
    let mut secrets = vec![text(&made, "secret")];
    for _ in 0..4 {
        let (status, rotated) = admin.post(&path, json!({"overlapSeconds": 3600})).await;
        assert_eq!(status, 200, "{rotated}");
        assert!(rotated["oldSecretUntil"].is_string());
        secrets.push(text(&rotated, "secret"));
    }
    let (status, problem) = admin.post(&path, json!({"overlapSeconds": 3600})).await;
    assert_eq!((status, code(&problem)), (409, "conflict"), "too many old secrets");
    let (status, rotated) = admin.post(&path, json!({"overlapSeconds": 0})).await;
    assert_eq!((status, &rotated["oldSecretUntil"]), (200, &Value::Null));
    secrets.push(text(&rotated, "secret"));
    let count = secrets.len();
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), count);
    assert_eq!(admin.post(&path, json!({"overlapSeconds": 604_801})).await.0, 400);
    let (status, rotated) = admin.send(Method::POST, &path, None).await;
    assert_eq!(status, 200, "{rotated}");
    assert!(rotated["oldSecretUntil"].is_string(), "a day by default");
}

#[tokio::test]
async fn the_audit_trail_shows_rotations_and_whether_a_token_is_sent() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let (_, made) = admin.post("/webhooks", hook(&json!({}))).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    let (_, rotated) = admin.post(&format!("{path}/rotate-secret"), json!({"overlapSeconds": 3600})).await;
    for is_sent in [true, false] {
        assert_eq!(admin.patch(&path, json!({"theauthapiSignature": is_sent})).await.0, 200);
    }
    let (_, page) = admin.get("/events?type=webhook.updated").await;
    let change = |index: usize, member: &str| {
        let event = &page["events"][index];
        (event["previous"][member].clone(), event["data"][member].clone())
    };
    assert_eq!(change(0, "oldSecretUntil"), (Value::Null, rotated["oldSecretUntil"].clone()), "{page}");
    assert_eq!(change(1, "theauthapiSignature"), (json!(false), json!(true)), "{page}");
    assert_eq!(change(2, "theauthapiSignature"), (json!(true), json!(false)), "{page}");
}

#[tokio::test]
async fn the_last_end_of_the_old_secrets_that_still_sign_is_shown() {
    let fixture = Fixture::start().await;
    let (admin, viewer) = (fixture.caller("a", None, Role::Admin).await, fixture.caller("a", None, Role::Viewer).await);
    let (_, made) = admin.post("/webhooks", hook(&json!({}))).await;
    let path = format!("/webhooks/{}", text(&made, "id"));
    let rotate = async |overlap_s: u64| {
        let (status, rotated) =
            admin.post(&format!("{path}/rotate-secret"), json!({"overlapSeconds": overlap_s})).await;
        assert_eq!(status, 200, "{rotated}");
        rotated["oldSecretUntil"].clone()
    };
    let shown = async || {
        let (_, list) = viewer.get("/webhooks").await;
        let (_, patched) = admin.patch(&path, json!({"name": "renamed"})).await;
        let all = [admin.get(&path).await.1, viewer.get(&path).await.1, list[0].clone(), patched];
        let all = all.map(|webhook| webhook["oldSecretUntil"].clone());
        assert!(all.iter().all(|until| *until == all[0]), "{all:?}");
        all[0].clone()
    };
    let last = rotate(7200).await;
    assert!(last.is_string());
    assert_eq!(rotate(60).await, last, "the secret before the last one signs longer");
    fixture.advance(Duration::from_mins(2));
    assert_eq!(shown().await, last, "the shorter overlap is over");
    let (_, events) = admin.get("/events").await;
    let created =
        &events["events"].as_array().unwrap().iter().find(|event| event["type"] == "webhook.created").unwrap();
    assert_eq!(created["data"]["oldSecretUntil"], Value::Null);
    fixture.advance(Duration::from_hours(2));
    assert_eq!(shown().await, Value::Null, "none signs any more");
}

#[tokio::test]
async fn topics_are_the_eight_of_the_hosted_product_and_two_of_webhooks() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Viewer).await;
    let (status, topics) = caller.get("/webhooks/topics").await;
    let expected = json!([
        "api-key.created",
        "api-key.deleted",
        "api-key.updated",
        "api-key.firstUsed",
        "access-key.created",
        "access-key.updated",
        "access-key.deleted",
        "project.updated",
        "webhook.failing",
        "webhook.disabled",
    ]);
    assert_eq!((status, topics), (200, expected));
}

#[tokio::test]
async fn a_ping_returns_its_outcome_unless_the_address_is_refused() {
    let allowing = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = allowing.caller("a", None, Role::Admin).await;
    let (well, ill) = (MockServer::start(), MockServer::with_statuses(|_| (500, Duration::ZERO)));
    let ping = |url: &str| json!({"url": url, "httpMethod": "PUT", "body": {"name": "n"}, "headers": {"X-A": "b"}});
    let (status, pinged) = admin.post("/webhooks/ping", ping(&well.url())).await;
    assert_eq!((status, &pinged["delivered"], &pinged["status"]), (200, &json!(true), &json!(200)));
    let sent = well.take_requests().pop().unwrap();
    assert!(sent.request_line().starts_with("PUT / "));
    assert_eq!((sent.header("x-a"), sent.header("webhook-id")), (vec!["b"], vec![pinged["id"].as_str().unwrap()]));
    assert!(sent.header("webhook-signature").is_empty(), "there is no secret yet");
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), json!({"name": "n"}));

    let (status, pinged) = admin.post("/webhooks/ping", ping(&ill.url())).await;
    assert_eq!((status, &pinged["delivered"], &pinged["status"]), (200, &json!(false), &json!(500)));
    let nobody = format!("http://127.0.0.1:{}/", gatepost_test_support::free_port());
    let (status, pinged) = admin.post("/webhooks/ping", json!({"url": nobody, "httpMethod": "POST"})).await;
    assert_eq!((status, &pinged["delivered"], &pinged["status"]), (200, &json!(false), &Value::Null));
    assert!(pinged["error"].as_str().unwrap().contains("refused"), "{pinged}");
    admin.post("/webhooks/ping", json!({"url": well.url()})).await;
    let sent = well.take_requests().pop().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap()["type"], "ping", "a body of its own");

    let refusing = Fixture::start().await;
    let admin = refusing.caller("a", None, Role::Admin).await;
    let (status, problem) = admin.post("/webhooks/ping", ping(&well.url())).await;
    assert_eq!((status, code(&problem)), (400, "webhook-address-refused"));
    assert_eq!(admin.post("/webhooks/ping", json!({"url": null, "httpMethod": "POST"})).await.0, 400);
    let both = json!({"url": well.url(), "headers": {"X-A": "1"}, "customHeaders": {"X-A": "2"}});
    let (status, problem) = admin.post("/webhooks/ping", both).await;
    assert_eq!((status, code(&problem)), (400, "validation"), "one of them would be dropped");
    for name in ["Webhook-Id", "webhook_id", "Webhook.Id"] {
        let reserved = json!({"url": well.url(), "headers": {name: "x"}});
        assert_eq!(admin.post("/webhooks/ping", reserved).await.0, 400, "{name}");
    }
    assert_eq!(well.request_count(), 2);
}

#[tokio::test]
async fn an_account_cannot_ping_without_end() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let other = fixture.caller("b", None, Role::Admin).await;
    let ping = json!({"url": "https://127.0.0.1/", "httpMethod": "POST"});
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(admin.post("/webhooks/ping", ping.clone()).await.0);
    }
    assert_eq!(statuses, [vec![400; 10], vec![429]].concat());
    assert_eq!(other.post("/webhooks/ping", ping).await.0, 400);
}

#[tokio::test]
async fn a_project_has_at_most_a_hundred_webhooks() {
    let fixture = Fixture::start().await;
    let caller = fixture.caller("a", None, Role::Admin).await;
    for _ in 0..100 {
        assert_eq!(caller.post("/webhooks", hook(&json!({}))).await.0, 201);
    }
    let (status, problem) = caller.post("/webhooks", hook(&json!({}))).await;
    assert_eq!((status, code(&problem)), (409, "too-many-webhooks"));
}

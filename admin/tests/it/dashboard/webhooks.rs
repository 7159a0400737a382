//! Webhooks in the dashboard: creating and testing them, their secrets, states and settings.

use std::time::Duration;

use gatepost_domain::record::Role;
use gatepost_test_support::{MockServer, free_port};
use gatepost_webhook_client::PrivateNetworks;
use serde_json::{Value, json};

use super::browser::{Browser, Page, hidden_field, shown_value};
use crate::fixture::{Caller, Fixture, text};
use crate::webhook_payloads::start_deliverer;
use crate::webhook_tests::is_signed_with;

/// How long an event may take here, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Returns what a page shows of a test.
fn test_result(page: &Page) -> &str {
    let result = page.body.split(r#"id="test-result""#).nth(1).unwrap_or_else(|| panic!("{}", page.body));
    result.split(r#"<div class="actions">"#).next().unwrap()
}

async fn create(caller: &Caller<'_>, url: &str, further: Value) -> Value {
    let mut hook = json!({"name": "w", "url": url, "topics": ["api-key.created"]});
    hook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let (status, created) = caller.post("/webhooks", hook).await;
    assert_eq!(status, 201, "{created}");
    created
}

#[tokio::test]
async fn form_has_the_words_and_the_order_of_the_hosted_product() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get(&format!("/dashboard/projects/{project}")).await;
    for words in ["No webhook yet", "+ Create New Hook", "Monitor real-time notifications"] {
        assert!(page.body.contains(words), "{words}");
    }
    let form = browser.get(&format!("/dashboard/projects/{project}/webhooks/new")).await.body;
    let form = form.split("<main").nth(1).unwrap();
    let order = ["Endpoint", "Name", "+ Add Events", "Custom Headers", "Set Live", "Test Connection", "Save New Hook"];
    let places: Vec<usize> =
        order.iter().map(|words| form.find(words).unwrap_or_else(|| panic!("{words} in {form}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(form.matches(r#"<span class="required"> required</span>"#).count(), 3, "endpoint, name, events: {form}");
    assert!(form.contains("An https address.") && form.contains("<details class=\"more\" open><summary>+ Add Events"));
    let path = format!("/dashboard/projects/{project}/webhooks/new");
    let once = hidden_field(&browser.get(&path).await.body, "once");
    let page = browser.post(&path, &[("name", "w"), ("url", "https://93.184.215.14/"), ("once", &once)]).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("Please correct the marked field.") && page.body.contains("At least one is needed"));
    let allowing = fixture.start_second_process(PrivateNetworks::Allowed).await;
    let mut browser = Browser::new(&allowing);
    browser.sign_in(&admin.access_key).await;
    assert!(browser.get(&path).await.body.contains("An https or http address"));
}

#[tokio::test]
async fn webhook_is_tested_and_saved_and_its_secret_shown_once() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/webhooks/new");
    let form = browser.get(&path).await.body;
    let (url, once) = (format!("{}hook?token=s3cret-token", receiver.url()), hidden_field(&form, "once"));
    let hook = "<img src=x onerror=alert(1)>";
    let fields = [
        ("httpMethod", "PUT"),
        ("url", url.as_str()),
        ("name", hook),
        ("topics", "api-key.created"),
        ("topics", "api-key.deleted"),
        ("headerName", "x-team"),
        ("headerValue", "billing-password"),
        ("headerName", r#"{"x-two": "second-password"}"#),
        ("headerValue", ""),
        ("live", "on"),
        ("theauthapiSignature", "on"),
        ("once", &once),
    ];
    let tested = browser.post(&path, &[&fields[..], &[("do", "test")]].concat()).await;
    assert_eq!(tested.status, 200, "{}", tested.body);
    let result = test_result(&tested);
    assert!(result.contains("<strong>200</strong>") && result.contains("-H 'x-team: …'"), "{result}");
    let is_secret_free = |text: &str| !text.contains("s3cret") && !text.contains("password");
    assert!(is_secret_free(result), "{result}");
    let sent = receiver.take_requests().pop().unwrap();
    assert_eq!(sent.request_line(), "PUT /hook?token=s3cret-token HTTP/1.1");
    assert_eq!((sent.header("x-team"), sent.header("x-two")), (vec!["billing-password"], vec!["second-password"]));
    assert_eq!(admin.get("/webhooks").await.1, json!([]), "a test saves nothing");
    for kept in ["value=\"billing-password\"", "value=\"x-two\"", "value=\"api-key.deleted\" checked"] {
        assert!(tested.body.contains(kept), "{kept} in {}", tested.body);
    }

    let created = browser.post(&path, &fields).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let secret = shown_value(&created);
    assert!(secret.starts_with("whsec_") && created.body.contains("Copy it now. It is not shown again."), "{secret}");
    let token = created.body.split("<output").nth(2).unwrap().split("<code>").nth(1).unwrap();
    let token = token.split('<').next().unwrap().to_owned();
    assert_eq!(shown_value(&browser.post(&path, &fields).await), secret, "a reload shows the same secret");
    let (_, hooks) = admin.get("/webhooks").await;
    assert_eq!(hooks.as_array().unwrap().len(), 1, "and makes no second webhook");
    assert_eq!((&hooks[0]["httpMethod"], &hooks[0]["status"]), (&json!("PUT"), &json!("live")));
    assert_eq!(hooks[0]["customHeaders"], json!({"x-team": "billing-password", "x-two": "second-password"}));

    let id = text(&hooks[0], "id");
    let webhook = format!("/dashboard/webhooks/{id}");
    for path in [&webhook, &format!("{webhook}/edit"), &format!("/dashboard/projects/{project}/webhooks")] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains(&secret) && !page.body.contains(&token), "{path}");
        assert!(!page.body.contains("-password") && !page.body.contains("<img src=x"), "{path}: {}", page.body);
    }
    browser.post(&format!("{webhook}/test"), &[("topic", "api-key.created")]).await;
    let sent = receiver.take_requests().pop().unwrap();
    assert!(is_signed_with(&secret, &sent), "the shown secret signs");
    assert_eq!(sent.header("theauthapi-signature"), [token]);
}

#[tokio::test]
async fn test_connection_says_in_words_what_fails_and_keeps_the_entries() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/webhooks/new");
    let ill = MockServer::with_statuses(|_| (500, Duration::ZERO));
    for (url, words) in
        [(ill.url(), "The receiver responded with 500."), (format!("http://127.0.0.1:{}/", free_port()), "refused")]
    {
        let page = browser.post(&path, &[("do", "test"), ("url", &url), ("name", "mine")]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(test_result(&page).contains(words), "{}", test_result(&page));
        assert!(page.body.contains(r#"value="mine""#) && page.body.contains(&format!(r#"value="{url}""#)));
    }
    for (name, value, words) in [
        ("url", "nonsense", "Must be a whole URL with its scheme"),
        ("url", "", "Must not be empty"),
        ("headerName", "webhook-id", "Webhook-id is reserved"),
        ("headerName", "{\"x\": 1}", "The pasted text is not a JSON object of texts"),
    ] {
        let url = if name == "url" { value.to_owned() } else { ill.url() };
        let fields = [("do", "test"), ("url", url.as_str()), ("headerName", value), ("headerValue", "1")];
        let fields = if name == "url" { &fields[..2] } else { &fields[..] };
        let page = browser.post(&path, fields).await;
        assert_eq!(page.status, 422, "{value}");
        assert!(page.body.contains(words), "{value}: {}", page.body);
    }

    let refusing = fixture.start_second_process(PrivateNetworks::Refused).await;
    let mut browser = Browser::new(&refusing);
    browser.sign_in(&admin.access_key).await;
    for url in ["http://169.254.169.254/", "https://10.0.0.7/"] {
        let page = browser.post(&path, &[("do", "test"), ("url", url), ("name", "mine")]).await;
        assert_eq!(page.status, 422, "{url}");
        assert!(page.body.contains("webhooks.allow_private_networks"), "{}", page.body);
        assert!(page.body.contains(r#"value="mine""#), "{}", page.body);
    }
}

#[tokio::test]
async fn a_test_too_many_must_wait_and_loses_nothing() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    fixture.freeze_uptime();
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/projects/{project}/webhooks/new");
    let fields = [("do", "test"), ("url", &receiver.url()), ("name", "mine")];
    for _ in 0..10 {
        assert!(test_result(&browser.post(&path, &fields).await).contains("The receiver accepts requests."));
    }
    let page = browser.post(&path, &fields).await;
    assert!(test_result(&page).contains("Not sent") && test_result(&page).contains("try again in"), "{}", page.body);
    assert!(page.body.contains(r#"value="mine""#));
    assert_eq!(receiver.request_count(), 10);
}

#[tokio::test]
async fn webhook_is_paused_rotated_and_deleted() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::start();
    let hook = create(&admin, &receiver.url(), json!({"projectId": project})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/webhooks/{}", text(&hook, "id"));
    assert_eq!(browser.post(&format!("{path}/pause"), &[]).await.location(), path);
    let paused = browser.get(&path).await.body;
    assert!(paused.contains("Nothing is sent.") && paused.contains("Set Live"), "{paused}");
    browser.post(&format!("{path}/resume"), &[]).await;
    assert!(browser.get(&path).await.body.contains(">Live</span>"));

    let rotate = format!("{path}/rotate-secret");
    let once = hidden_field(&browser.get(&rotate).await.body, "once");
    let rotated = browser.post(&rotate, &[("overlap", "3600"), ("once", &once)]).await;
    let secret = shown_value(&rotated);
    assert!(secret != text(&hook, "secret") && rotated.body.contains("signed with the old secret as well"), "{secret}");
    assert_eq!(shown_value(&browser.post(&rotate, &[("overlap", "3600"), ("once", &once)]).await), secret);
    let tested = browser.post(&format!("{path}/test"), &[("topic", "project.updated")]).await;
    assert!(test_result(&tested).contains("project.updated"), "{}", tested.body);
    let sent = receiver.take_requests().pop().unwrap();
    assert!(is_signed_with(&secret, &sent) && is_signed_with(&text(&hook, "secret"), &sent));

    let delete = format!("{path}/delete");
    assert_eq!(browser.post(&delete, &[("confirmation", "W")]).await.status, 422);
    let deleted = browser.post(&delete, &[("confirmation", "w")]).await;
    assert_eq!(deleted.location(), format!("/dashboard/projects/{project}#webhooks"));
    assert_eq!(browser.get(&path).await.status, 404);
}

#[tokio::test]
async fn edit_keeps_masked_values_and_the_entries_of_a_second_editor() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let receiver = MockServer::start();
    let hook = create(&admin, &receiver.url(), json!({"customHeaders": {"x-team": "billing-password"}})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let path = format!("/dashboard/webhooks/{}", text(&hook, "id"));
    let edit = format!("{path}/edit");
    let version = hidden_field(&browser.get(&edit).await.body, "version");
    let url = receiver.url();
    let entries = |name, version| {
        [
            ("name", name),
            ("url", url.as_str()),
            ("topics", "api-key.deleted"),
            ("headerName", "x-team"),
            ("headerValue", "…"),
            ("retrySchedule", "5, 10"),
            ("version", version),
        ]
    };
    let tested = browser.post(&edit, &[&entries("first", &version)[..], &[("do", "test")]].concat()).await;
    assert!(test_result(&tested).contains("<strong>200</strong>"), "{}", tested.body);
    assert_eq!(receiver.take_requests().pop().unwrap().header("x-team"), ["billing-password"]);
    assert_eq!(browser.post(&edit, &entries("first", &version)).await.location(), path);
    let (_, saved) = admin.get(&format!("/webhooks/{}", text(&hook, "id"))).await;
    assert_eq!((&saved["name"], &saved["topics"]), (&json!("first"), &json!(["api-key.deleted"])));
    assert_eq!(
        (&saved["customHeaders"]["x-team"], &saved["retrySchedule"]),
        (&json!("billing-password"), &json!([5, 10]))
    );
    let with_key_pair = [&entries("second", &version)[..], &[("v1a", "on")]].concat();
    let conflict = browser.post(&edit, &with_key_pair).await;
    assert_eq!(conflict.status, 422);
    assert!(conflict.body.contains("Signatures with a key pair: "), "{}", conflict.body);
    assert!(conflict.body.contains("Name: <code>first</code>") && conflict.body.contains(r#"value="second""#));
    let version = hidden_field(&conflict.body, "version");
    let with_token = [&entries("second", &version)[..], &[("theauthapiSignature", "on")]].concat();
    let refused = browser.post(&edit, &with_token).await;
    assert!(refused.body.contains("Must be typed, because the webhook has none yet"), "{}", refused.body);
    assert_eq!(browser.post(&edit, &entries("second", &version)).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_webhook_says_what_to_do() {
    let fixture = Fixture::with_private_networks(PrivateNetworks::Allowed).await;
    let _deliverer = start_deliverer(&fixture);
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let project = admin.create_project().await;
    let receiver = MockServer::with_statuses(|number| (if number == 0 { 410 } else { 204 }, Duration::ZERO));
    let hook = create(&admin, &receiver.url(), json!({"projectId": project})).await;
    let resource = format!("/webhooks/{}", text(&hook, "id"));
    admin.create_key(&project, json!({})).await;
    let is_disabled = async {
        while admin.get(&resource).await.1["state"] != "disabled" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, is_disabled).await.unwrap();
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let page = browser.get(&format!("/dashboard{resource}")).await.body;
    for words in ["Disabled because of failures", "Mend the receiver", "1 delivery was"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(!page.contains("Recover…"), "a disabled webhook sends nothing again: {page}");
    browser.post(&format!("/dashboard{resource}/resume"), &[]).await;
    let page = browser.get(&format!("/dashboard{resource}")).await.body;
    assert!(!page.contains("Disabled because") && page.contains("Recover…"), "{page}");
}

#[tokio::test]
async fn list_has_webhooks_of_the_project_and_of_the_account() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("acme", None, Role::Admin).await;
    let (project, other) = (admin.create_project().await, admin.create_project().await);
    let url = "https://93.184.215.14/";
    for number in 0..30 {
        create(&admin, url, json!({"projectId": project, "name": format!("own-{number}")})).await;
    }
    create(&admin, url, json!({"projectId": other, "name": "of-another"})).await;
    create(&admin, url, json!({"name": "of-the-account"})).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&admin.access_key).await;
    let section = browser.get(&format!("/dashboard/projects/{project}")).await.body;
    assert!(section.contains("of-the-account") && section.contains("own-29") && section.contains("All 31 webhooks"));
    assert!(!section.contains("own-1<"), "only the newest");
    let first = browser.get(&format!("/dashboard/projects/{project}/webhooks")).await.body;
    assert!(first.contains("own-0<") && !first.contains("own-29<"));
    let next = first.split(r#"href=""#).find(|link| link.contains("webhooks?after=")).unwrap();
    let second = browser.get(next.split('"').next().unwrap()).await.body;
    assert!(second.contains("own-29<") && second.contains("whole account") && !second.contains("own-0<"));
    assert!(!first.contains("of-another") && !second.contains("of-another"));

    let of_project = fixture.caller("acme", Some(&project), Role::Admin).await;
    let mut browser = Browser::new(&fixture);
    browser.sign_in(&of_project.access_key).await;
    let section = browser.get(&format!("/dashboard/projects/{project}")).await.body;
    assert!(section.contains("own-29") && !section.contains("of-the-account"), "{section}");
}

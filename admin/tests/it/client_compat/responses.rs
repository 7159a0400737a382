//! Traps in the shape of responses, and in what they must not reveal.

use std::io::Write;
use std::sync::Mutex;

use gatepost_domain::record::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, text};

/// What this process has logged. The log is the process's own, so lines of other tests stand in it as well.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Writes to it.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn trap_07_keys_in_paths_are_in_no_log_and_no_metric() {
    tracing_subscriber::fmt().with_env_filter("info,gatepost=trace").with_writer(|| Log).init();
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = text(&admin.create_key(&project, json!({})).await, "key");
    let (_, access_key) = admin.post("/access-keys", json!({"name": "n"})).await;
    let access_key = text(&access_key, "key");
    for (method, path) in [
        (Method::POST, format!("/api-keys/auth/{key}")),
        (Method::GET, format!("/api-keys/{key}")),
        (Method::GET, format!("/api-keys/{key}/nowhere")),
        (Method::PUT, format!("/api-keys/{key}")),
        (Method::DELETE, format!("/api-keys/{key}")),
        (Method::PATCH, format!("/access-keys/{access_key}/reactivate")),
        (Method::DELETE, format!("/access-keys/{access_key}")),
    ] {
        admin.send(method, &path, None).await;
    }
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    let metrics = format!("{:?}", fixture.registry.gather());
    assert!(log.contains("/api-keys/auth/{key}") && metrics.contains("/api-keys/auth/{key}"), "{log}");
    for secret in [&key, &access_key, &admin.access_key] {
        assert!(!log.contains(&secret[15..]), "{log}");
        assert!(!metrics.contains(&secret[15..]), "{metrics}");
    }
}

#[tokio::test]
async fn trap_08_the_expiry_has_both_its_names() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (given, expected) in [(json!("2050-01-01"), json!("2050-01-01T00:00:00.000Z")), (Value::Null, Value::Null)] {
        let made = admin.create_key(&project, json!({"expiry": given})).await;
        assert_eq!((&made["expiry"], &made["expiresAt"]), (&expected, &expected));
    }
}

#[tokio::test]
async fn trap_09_an_expiry_comes_in_three_forms_or_as_null() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    for (given, expected) in [
        (json!("2050-09-01T10:20:30.456Z"), json!("2050-09-01T10:20:30.456Z")),
        (json!("2050-09-01T12:20:30+02:00"), json!("2050-09-01T10:20:30.000Z")),
        (json!("2050-09-01"), json!("2050-09-01T00:00:00.000Z")),
        (json!("2050-09-01 10:20:30"), json!("2050-09-01T10:20:30.000Z")),
        (Value::Null, Value::Null),
    ] {
        let made = admin.create_key(&project, json!({"expiry": given})).await;
        assert_eq!(made["expiresAt"], expected, "{given}");
    }
}

#[tokio::test]
async fn trap_10_times_have_milliseconds_and_z_and_metadata_stays_as_it_is() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let metadata = json!({"since": "2020-01-02T03:04:05Z", "list": ["2020-01-02T03:04:05.1+01:00", 1.5, null]});
    let made = admin.create_key(&project, json!({"customMetaData": metadata, "name": "2020-01-02T03:04:05Z"})).await;
    assert_eq!((&made["customMetaData"], &made["name"]), (&metadata, &json!("2020-01-02T03:04:05Z")));
    for member in ["createdAt", "updatedAt"] {
        let time = text(&made, member);
        let [head, tail] = [&time[..19], &time[19..]];
        assert_eq!(head.chars().filter(|c| !c.is_ascii_digit()).collect::<String>(), "--T::", "{time}");
        assert!(tail.len() == 5 && tail.starts_with('.') && tail.ends_with('Z'), "{time}");
    }
}

#[tokio::test]
async fn trap_11_a_deletion_returns_true() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    let key = admin.create_key(&project, json!({})).await;
    let (_, access_key) = admin.post("/access-keys", json!({"name": "n"})).await;
    let hook = json!({"name": "w", "url": "https://93.184.215.14/", "topics": ["api-key.created"]});
    let (_, webhook) = admin.post("/webhooks", hook).await;
    let (_, accounts) = admin.get("/accounts").await;
    for path in [
        format!("/api-keys/{}", text(&key, "key")),
        format!("/access-keys/{}", text(&access_key, "key")),
        format!("/webhooks/{}", text(&webhook, "id")),
        format!("/projects/{project}"),
        format!("/accounts/{}", text(&accounts[0], "id")),
    ] {
        assert_eq!(admin.delete(&path).await, (200, json!(true)), "{path}");
    }
}

#[tokio::test]
async fn trap_12_lists_are_bare_arrays_with_everything_unless_a_limit_is_given() {
    const KEYS: usize = 1005;
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    futures::future::join_all((0..KEYS).map(|_| admin.create_key(&project, json!({})))).await;
    let count = async |query: &str| admin.get(&format!("/api-keys{query}")).await.1.as_array().unwrap().len();
    assert_eq!(count("").await, KEYS, "more than a page of the store");
    assert_eq!(count("?limit=7").await, 7);
    assert_eq!(count("?offset=1000").await, 5);
    for path in ["/projects", "/accounts", "/access-keys", "/webhooks", "/webhooks/topics"] {
        assert!(admin.get(path).await.1.is_array(), "{path}");
    }
}

#[tokio::test]
async fn trap_13_filters_are_read_as_clients_write_them() {
    let fixture = Fixture::start().await;
    let admin = fixture.caller("a", None, Role::Admin).await;
    let project = admin.create_project().await;
    admin.create_key(&project, json!({"name": "With User", "customUserId": "u"})).await;
    admin.create_key(&project, json!({"name": "without user"})).await;
    let off = admin.create_key(&project, json!({"name": "off", "customUserId": "u"})).await;
    admin.delete(&format!("/api-keys/{}", text(&off, "key"))).await;
    for (query, expected) in [
        ("", vec!["With User", "without user", "off"]),
        ("?customUserId=null", vec!["without user"]),
        ("?customUserId=undefined&name=undefined", vec!["With User", "without user", "off"]),
        ("?isActive=False", vec!["off"]),
        ("?isActive=true&customUserId=u", vec!["With User"]),
        ("?name=wITH%20uSER", vec!["With User"]),
        ("?0=P&1=R&unknown=x", vec!["With User", "without user", "off"]),
        ("?isActive=null&projectId=null", vec!["With User", "without user", "off"]),
    ] {
        let (status, list) = admin.get(&format!("/api-keys/{query}")).await;
        let names: Vec<&str> = list.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!((status, names), (200, expected), "{query}");
    }
}

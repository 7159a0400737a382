//! The log contains no key, wherever a request carries it and whatever the log filter is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gatepost_test_support::{AfterReply, MockServer, Reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::process::Gatepost;
use crate::secrets;
use crate::single_process::read_first_access_key;
use crate::test_cluster::DEADLINE;

/// Custom key value, with characters that may be escaped in paths.
const CHOSEN: &str = "my~own-key+with=signs!0123456789";
/// Log filter of an operator who debugs a problem.
const FILTER: &str = "trace,hyper=trace,h2=trace,reqwest=trace,redis=trace,pingora=trace,pingora_core=trace,\
                      pingora_core::protocols::http::v1=trace,pingora_proxy=trace,pingora_pool=trace,log=trace,tower=trace,axum=trace";

/// Sends bytes to a server, and returns its response up to the end of the connection or a timeout.
fn exchange(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(bytes.as_bytes());
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// Escapes every character.
fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Escapes everything but letters and digits.
fn symbols_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Returns requests to a gateway that carry a key in every possible location.
fn gateway_requests(key: &str) -> Vec<String> {
    let with = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n{rest}\r\n")
    };
    let (all_escaped, signs_escaped) = (percent_encoded(key), symbols_encoded(key));
    let get = |path: &str| with(&format!("GET {path}"), "");
    let mut requests = vec![
        get(&format!("/{key}")),
        get(&format!("/v1/{key}/items")),
        get(&format!("/v1/{key}.json")),
        get(&format!("/v1/a;key={key}/items")),
        get(&format!("/v1/{all_escaped}/items")),
        get(&format!("/v1/{signs_escaped}/items")),
        get(&format!("/v1?key={key}&other={all_escaped}")),
        get(&format!("/a/../{key}")),
        get(&format!("/a b/{key}")),
        get(&format!("//{key}")),
        with(key, ""),
        with(&format!("{key} /"), ""),
        with(&format!("GET http://{key}/"), ""),
        format!("GET /v1/{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n"),
        format!("GET /{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: bearer       {key}\r\n\r\n"),
        format!("GET /open/{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\napikey: {key}\r\n\r\n"),
        format!("GET /v1/{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\napikey: {key}\r\nX-API-Key: other\r\n\r\n"),
        format!("GET /v1/{key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_API_Key: {key}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {key}\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{key}: {key}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key {key}\r\n\r\n"),
        format!("{key}\r\n\r\n"),
        with("POST /v1", &format!("Transfer-Encoding: chunked\r\n\r\n3;{key}\r\nabc\r\n0\r\nX-T: {key}\r\n")),
        with("POST /v1", &format!("Content-Length: {}\r\n\r\n{key}", key.len())),
        with("POST /v1", &format!("Transfer-Encoding: chunked\r\n\r\n{key}\r\n")),
    ];
    let names =
        ["X-Request-Id", "traceparent", "Cookie", "User-Agent", "Referer", "Origin", "Content-Length", "Expect"];
    let further = ["Transfer-Encoding", "Connection", "Upgrade", "X-Forwarded-For", "Remote-User", "X.Gatepost.Env"];
    requests.extend(names.iter().chain(&further).map(|name| with("GET /v1", &format!("{name}: {key}\r\n"))));
    requests
}

/// Returns requests to the admin API that carry an access key and a key.
fn admin_requests(access_key: &str, key: &str) -> Vec<String> {
    let with = |line: &str, rest: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {access_key}\r\n{rest}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let path = symbols_encoded(key);
    let mut requests = vec![
        with(&format!("GET /api-keys/{path}"), &format!("X-Request-Id: {key}\r\n"), ""),
        with(&format!("GET /api-keys/auth/{path}"), &format!("X-Request-Id: {key}\r\n"), ""),
        with(&format!("GET /api-keys/{path}x"), "", ""),
        with(&format!("GET /{path}"), "", ""),
        with(&format!("{key} /api-keys"), "", ""),
        with(&format!("GET /api-keys?projectId={path}&limit={path}"), "", ""),
        with(&format!("GET /events?type={path}&after={path}"), "", ""),
        with("GET /projects", &format!("X-Request-Id: {access_key}\r\n"), ""),
        with("GET /projects", &format!("Idempotency-Key: {key}\r\nIf-Match: {key}\r\nPrefer: {key}\r\n"), ""),
        with("POST /projects", &format!("Idempotency-Key: {key}\r\n"), &json!({"name": key, "env": key}).to_string()),
        with("POST /projects", "", &format!("{{\"name\": {key}}}")),
        with("POST /webhooks", "", &json!({"name": "w", "url": key, "topics": [key]}).to_string()),
        with("POST /webhooks", "", &json!({"name": "w", "url": "https://192.0.2.1/", "topics": [key]}).to_string()),
        with("POST /api-keys", "", &json!({"name": "k", "projectId": key, "expiry": key}).to_string()),
        with("POST /api-keys", "", &json!({"name": ["k"], "projectId": {"id": key}}).to_string()),
        with("POST /auth/authenticate", "", &json!({"key": key}).to_string()),
        format!(
            "GET /projects HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\nX-Request-Id: {key}\r\n\r\n"
        ),
        format!("GET /projects HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key {key}\r\n\r\n"),
    ];
    let names = ["traceparent", "Cookie", "User-Agent", "Transfer-Encoding", "Expect", "Upgrade", "x-origin-ip"];
    requests.extend(names.iter().map(|name| with("GET /projects", &format!("{name}: {key}\r\n"), "")));
    requests
}

/// Starts an upstream whose responses contain a key. Every third is malformed, and every fifth is missing.
fn upstream(key: &str) -> MockServer {
    let key = key.to_owned();
    MockServer::with_script(move |number| match (number % 3, number % 5) {
        (0, _) => Reply::raw(
            format!("HTTP/1.1 200 {key}\r\nX-Key: {key}\r\nContent-Length: {key}\r\n\r\n{key}"),
            AfterReply::Close,
        ),
        (_, 0) => Reply::raw("", AfterReply::Close),
        (1, _) => Reply::raw(format!("HTTP/1.1 200 OK\r\nX {key}\r\n{key}\r\n\r\n"), AfterReply::Close),
        (_, _) => Reply { status: 200, headers: vec![("set-cookie", key.clone())], ..Reply::default() },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_and_no_filter_writes_a_key_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (receiver, origin) = (MockServer::start(), upstream(CHOSEN));
    let environment = [("GATEPOST_LOG__FILTER", FILTER)];
    let mut up = Gatepost::start_with(directory.path(), &["up", "--upstream", &origin.url()], &environment).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let webhook_secret = admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let (generated, _) = admin.create_api_key(&project).await;
    let chosen = admin.post("/api-keys", json!({"name": "c", "projectId": project, "key": CHOSEN})).await;
    assert_eq!(chosen["key"], CHOSEN);
    let (unknown, wrong) = (generated.replace("live_", "test_"), format!("{generated}x"));
    for key in [&generated, CHOSEN, &unknown, &wrong, &admin.access_key] {
        for request in gateway_requests(key) {
            exchange(up.gateway.unwrap(), &request);
        }
        for request in admin_requests(&admin.access_key, key) {
            let response = exchange(up.admin.unwrap(), &request);
            // A custom value is only recognised as a key where it is presented as one.
            let locations = ["GET /api-keys/".to_owned(), format!("Key: {key}"), format!("Bearer {key}")];
            let is_known = key != CHOSEN || locations.iter().any(|location| request.contains(location));
            let secrets = [admin.access_key.as_str(), key];
            check_problem(&response, &secrets[..if is_known { 2 } else { 1 }], &request);
        }
    }
    for key in [&generated, CHOSEN] {
        let path = format!("/api-keys/{}", symbols_encoded(key));
        assert_eq!(admin.send(Method::DELETE, &path, String::new()).await.status(), 200);
    }
    // Both keys were created, used and deleted.
    assert_eq!(receiver.await_count(6, DEADLINE), 6);
    assert_eq!(up.terminate(), Some(0));
    let log = up.log().join("\n");
    assert!(log.contains("\"target\":\"gatepost::access\"") && log.contains("\"target\":\"gatepost::admin\""));
    let sources = [("the log".to_owned(), log.into_bytes())];
    let secrets = [&generated, CHOSEN, &unknown, &admin.access_key, webhook_secret.trim_start_matches("whsec_")];
    secrets::check_no_secrets(&sources, &secrets.map(|secret| secret as &str));
}

/// Checks that neither a problem response nor the request id in a response contains a secret.
#[track_caller]
fn check_problem(response: &str, secrets: &[&str], request: &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap_or_default();
    assert!(!secrets.contains(&id), "{request}: {response}");
    let problem = serde_json::from_str::<Value>(body).ok().filter(|body| body.get("type").is_some());
    let text = problem.map(|problem| problem.to_string()).unwrap_or_default();
    let is_contained = |secret: &&&str| text.contains(**secret);
    assert_eq!(secrets.iter().find(is_contained), None, "{request}: {response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_key_in_a_path_is_masked() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    let contains_generated_form = format!("acme-live_{}.s3cr3t", "a".repeat(40));
    for key in [CHOSEN, &contains_generated_form] {
        admin.post("/api-keys", json!({"name": "c", "projectId": project, "key": key})).await;
    }
    let paths = [
        (key.as_str(), format!("/v1/{key}/items"), "/v1/live_***/items"),
        (&key, format!("/v1/{key}.json"), "/v1/live_***.json"),
        (&key, "/v1/live_items/test_suite/my-own".to_owned(), "/v1/live_items/test_suite/my-own"),
        (CHOSEN, format!("/v1/{CHOSEN}/items"), "/v1/***/items"),
        (CHOSEN, format!("/v1/{}/items", percent_encoded(CHOSEN)), "/v1/***/items"),
        (&contains_generated_form, format!("/v1/{contains_generated_form}/items"), "/v1/***/items"),
        (&key, format!("/v1/{CHOSEN}"), "/v1/my~own-key+with=signs!0123456789"),
    ];
    for (key, path, _) in &paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n");
        assert!(exchange(up.gateway.unwrap(), &request).starts_with("HTTP/1.1 200 "), "{path}");
    }
    assert_eq!(up.terminate(), Some(0));
    let lines = up.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let logged: Vec<String> = lines
        .filter(|line| line["target"] == "gatepost::access")
        .map(|line| line["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, paths.map(|(_, _, logged)| logged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_contains_the_reason_of_a_failed_request() {
    let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ];
    let origin =
        MockServer::with_script(move |number| Reply::raw(responses[number % responses.len()], AfterReply::Close));
    let directory = tempfile::tempdir().unwrap();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    for path in ["/a", "/b", "/c", "/%zz"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n");
        exchange(up.gateway.unwrap(), &request);
    }
    assert_eq!(up.terminate(), Some(0));
    let lines = up.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let reasons: Vec<(Value, Value)> = lines
        .filter(|line| line["target"] == "gatepost::access")
        .map(|line| (line["status"].clone(), line["reason"].clone()))
        .collect();
    let expected = [
        (502, "the response has no single valid Content-Length"),
        (502, "the response has another Transfer-Encoding than a single chunked"),
        (502, "the response switches to a protocol that was not asked for"),
        (400, "bad-path"),
    ];
    assert_eq!(reasons, expected.map(|(status, reason)| (json!(status), json!(reason))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_asterisk_does_not_use_a_key() {
    let origin = MockServer::start();
    let directory = tempfile::tempdir().unwrap();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    exchange(
        up.gateway.unwrap(),
        &format!("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n"),
    );
    let metrics = up.metrics().await;
    let requests: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("gatepost_requests_total{") && !line.ends_with(" 0")).collect();
    assert_eq!(requests, [r#"gatepost_requests_total{outcome="anonymous",route="none",status="200"} 1"#]);
    assert_eq!(up.terminate(), Some(0));
    let lines = up.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let line = lines.into_iter().find(|line| line["target"] == "gatepost::access").unwrap();
    let logged = ["method", "path", "route", "outcome", "key_id", "upstream"].map(|name| line[name].clone());
    assert_eq!(
        logged,
        [json!("OPTIONS"), json!("*"), Value::Null, json!("anonymous"), Value::Null, Value::Null],
        "{line}"
    );
    assert_eq!(origin.request_count(), 0);
}

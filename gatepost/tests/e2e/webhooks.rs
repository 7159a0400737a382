//! Webhook requests as receivers see them, verified by an independent library.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gatepost_test_support::{MockServer, RecordedRequest};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Verifies requests with the npm package `standardwebhooks`.
pub(crate) fn verify(secret: &str, requests: &[RecordedRequest]) {
    assert_eq!(run_verifier("verify.mjs", secret, requests), format!("{} verified", requests.len()));
}

/// Returns how many requests have a valid `v1a` signature for a public key, according to Node.
pub(crate) fn count_signed_with(public_key: &str, requests: &[RecordedRequest]) -> usize {
    run_verifier("verify-ed25519.mjs", public_key, requests).parse().unwrap()
}

/// Runs a program that gets requests and a secret, and returns what it prints.
fn run_verifier(program: &str, secret: &str, requests: &[RecordedRequest]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    assert!(directory.join("node_modules").exists(), "npm packages are missing; run: cargo xtask test --only packages");
    let input: Vec<Value> = requests.iter().map(|request| verifier_input(secret, request)).collect();
    let mut node = Command::new("node")
        .arg(program)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(Value::from(input).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "a signature was rejected");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Returns what a verifier needs of a request.
pub(crate) fn verifier_input(secret: &str, request: &RecordedRequest) -> Value {
    let header = |name: &str| request.header(name)[0].to_owned();
    json!({
        "secret": secret,
        "body": String::from_utf8_lossy(&request.body),
        "headers": {
            "webhook-id": header("webhook-id"),
            "webhook-timestamp": header("webhook-timestamp"),
            "webhook-signature": header("webhook-signature"),
        },
    })
}

/// Returns the body of a webhook request.
pub(crate) fn body(request: &RecordedRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Returns the bodies of the requests with a topic.
pub(crate) fn bodies_of_topic(requests: &[RecordedRequest], topic: &str) -> Vec<Value> {
    requests.iter().map(body).filter(|body| body["type"] == topic).collect()
}

/// Ids of keys for which a receiver must get events.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) created: HashSet<String>,
    pub(crate) used: HashSet<String>,
    pub(crate) deleted: HashSet<String>,
}

/// Waits until a receiver has all events, and returns all its requests. Checks that each first use has one event id. Fails
/// if no missing event arrives for as long as `deadline`: how many arrive in a second depends on the machine.
pub(crate) async fn await_all(receiver: &MockServer, expected: &Expected, deadline: Duration) -> Vec<RecordedRequest> {
    let mut received: Vec<RecordedRequest> = Vec::new();
    let (mut created, mut deleted) = (HashSet::new(), HashSet::new());
    let mut used: HashMap<String, HashSet<String>> = HashMap::new();
    let (mut progress_at, mut least_missing) = (Instant::now(), usize::MAX);
    loop {
        let new = receiver.take_requests();
        for (topic, ids) in [("api-key.created", &mut created), ("api-key.deleted", &mut deleted)] {
            ids.extend(bodies_of_topic(&new, topic).iter().map(|body| text(body, "/data/id")));
        }
        for body in bodies_of_topic(&new, "api-key.firstUsed") {
            used.entry(text(&body, "/data/id")).or_default().insert(text(&body, "/id"));
        }
        received.extend(new);
        let missing = expected.created.difference(&created).count()
            + expected.deleted.difference(&deleted).count()
            + expected.used.iter().filter(|id| !used.contains_key(*id)).count();
        if missing == 0 {
            break;
        }
        if missing < least_missing {
            (progress_at, least_missing) = (Instant::now(), missing);
        }
        assert!(progress_at.elapsed() < deadline, "{missing} events are missing");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (key, events) in used {
        assert_eq!(events.len(), 1, "{key} has first uses with different event ids");
    }
    received
}

fn text(body: &Value, pointer: &str) -> String {
    body.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

//! Webhook requests as receivers see them, verified by a library that is not ours.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost_test_support::Recorded;
use serde_json::{Value, json};

/// Verifies requests with the `standardwebhooks` library of npm.
pub(crate) fn verify(secret: &str, requests: &[Recorded]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    assert!(directory.join("node_modules").exists(), "npm packages are missing; run: cargo xtask test --only npm");
    let input: Vec<Value> = requests.iter().map(|request| input(secret, request)).collect();
    let mut node = Command::new("node")
        .arg("verify.mjs")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(Value::from(input).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "a signature was not accepted");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{} verified", requests.len()));
}

fn input(secret: &str, request: &Recorded) -> Value {
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

/// The body of a webhook request.
pub(crate) fn body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The bodies of one topic.
pub(crate) fn of_topic(requests: &[Recorded], topic: &str) -> Vec<Value> {
    requests.iter().map(body).filter(|body| body["type"] == topic).collect()
}

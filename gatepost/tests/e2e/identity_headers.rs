//! Identity headers that the gateway removes, and the settings for them.

use gatepost_test_support::MockServer;
use serde_json::Value;

use crate::admin::{Admin, client};
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;

const TRUSTED: (&str, &str) = ("GATEPOST_GATEWAY__TRUSTED_PROXIES", "127.0.0.0/8");

/// Sends a request with identity headers, and returns which of them the upstream received.
async fn identities_at_upstream(up: &Gatepost, origin: &MockServer, key: &str) -> Vec<&'static str> {
    let identities = ["remote-user", "x-consumer-id", "x-auth-request-email"];
    let request = client().get(up.url("/x")).header("x-api-key", key);
    let request = identities.iter().fold(request, |request, name| request.header(*name, "jane"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = origin.take_requests().pop().unwrap();
    identities.into_iter().filter(|name| !seen.header(name).is_empty()).collect()
}

fn pass_headers_log_lines(up: &Gatepost) -> Vec<String> {
    let is_one = |line: &String| line.contains("gateway.pass_headers");
    up.log().into_iter().filter(is_one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_first_identity_header_removed_from_a_trusted_proxy_is_logged() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let arguments = ["up", "--upstream", &origin.url()];
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    assert_eq!(identities_at_upstream(&up, &origin, &key).await, Vec::<&str>::new());
    assert_eq!(up.terminate(), Some(0));
    assert_eq!(pass_headers_log_lines(&up), Vec::<String>::new(), "headers of untrusted clients are not logged");

    let mut up = Gatepost::start_with(directory.path(), &arguments, &[TRUSTED]).await;
    for _ in 0..3 {
        assert_eq!(identities_at_upstream(&up, &origin, &key).await, Vec::<&str>::new());
    }
    assert_eq!(up.terminate(), Some(0));
    let lines = pass_headers_log_lines(&up);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert!(["remote-user", "x-consumer-id", "x-auth-request-email"].contains(&line["header"].as_str().unwrap()));

    let pass = ("GATEPOST_GATEWAY__PASS_HEADERS", "Remote-User, x-auth-request-*");
    let mut up = Gatepost::start_with(directory.path(), &arguments, &[TRUSTED, pass]).await;
    assert_eq!(identities_at_upstream(&up, &origin, &key).await, ["remote-user", "x-auth-request-email"]);
    assert_eq!(up.terminate(), Some(0));

    let ours = ("GATEPOST_GATEWAY__STRIP", "ours");
    let mut up = Gatepost::start_with(directory.path(), &arguments, &[ours]).await;
    assert_eq!(identities_at_upstream(&up, &origin, &key).await.len(), 3);
    assert_eq!(up.terminate(), Some(0));
}

#[test]
fn settings_without_identity_headers_are_errors_with_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[gateway]\nstrip = \"all\"\npass_headers = [\"remote-user\",\n\"remote_user\",\n\"x-gatepost-env\"]\n";
    std::fs::write(directory.path().join("gatepost.toml"), text).unwrap();
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let messages = String::from_utf8_lossy(&output.stderr);
    for fault in [
        "gatepost.toml:2: gateway.strip: must be default or ours, not \"all\"",
        "gatepost.toml:4: gateway.pass_headers: \"remote_user\" is not the name of an identity header",
        "gatepost.toml:5: gateway.pass_headers: \"x-gatepost-env\" is not the name of an identity header",
    ] {
        assert!(messages.contains(fault), "{fault:?} is missing in:\n{messages}");
    }
    assert!(!messages.contains("\"remote-user\" is not"), "{messages}");
}

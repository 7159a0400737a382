//! Usage errors and their messages.

use std::path::Path;
use std::process::Output;

use gatepost_test_support::free_port;
use reqwest::Method;
use tokio::time::Instant;

use crate::process::{EMPTY_DIRECTORY, command, run};
use crate::test_cluster::{DEADLINE, TestCluster};

fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_invalid_configuration_reports_all_errors_with_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let text = "[store]\nurl = \"http://x\"\n\n[gateway]\nlisten = 8080\nmax_stale_ms = -1\nlisten_on = \"x\"\n\n\
                [[gateway.route]]\npath = \"no-slash\"\nauth = \"maybe\"\nupstream = \"nowhere\"\n";
    std::fs::write(directory.path().join("gatepost.toml"), text).unwrap();
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = stderr_text(&output);
    for fault in [
        "gatepost.toml:2: store.url: scheme http is not known; use embedded:PATH",
        "gatepost.toml:5: gateway.listen: must be a string, not a number",
        "gatepost.toml:6: gateway.max_stale_ms: must be a whole number from 0 to",
        "gatepost.toml:7: gateway.listen_on: unknown key; known keys are",
        "; a similar one is listen\n",
        "gatepost.toml:10: gateway.route.path:",
        "gatepost.toml:11: gateway.route.auth: must be required, optional or off",
        "upstream \"nowhere\" does not exist",
    ] {
        assert!(stderr.contains(fault), "{fault:?} is missing in:\n{stderr}");
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("gatepost.toml"), "[store]\nurl = \n").unwrap();
    let output = run(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_text(&output).contains("gatepost.toml:2:"), "{}", stderr_text(&output));
}

#[test]
fn an_unreachable_store_is_reported_quickly() {
    let url = format!("redis://user:hunter2@127.0.0.1:{}", free_port());
    let began = Instant::now();
    let mut process =
        command(Path::new(EMPTY_DIRECTORY), &["control-plane", "--store", &url, "--ops-listen", "127.0.0.1:0"]);
    let output = process.env("GATEPOST_STORE__START_TIMEOUT_MS", "500").output().unwrap();
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_text(&output).contains("cannot reach redis://***:***@127.0.0.1"), "{}", stderr_text(&output));
    assert!(!stderr_text(&output).contains("hunter2"));
}

#[test]
fn invalid_commands_and_flags_exit_with_2_and_a_hint() {
    for (arguments, hint) in [
        (vec!["gatewy"], "gateway"),
        (vec!["up", "--upstrem", "x"], "--upstream"),
        (vec!["access-key", "create", "--role", "boss"], "admin"),
    ] {
        let output = run(Path::new(EMPTY_DIRECTORY), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr_text(&output).contains(hint), "{arguments:?}: {}", stderr_text(&output));
    }
    for arguments in [vec!["start"], vec!["serve"], vec!["up", "--port", "80"], vec!["trigger", "created"]] {
        let output = run(Path::new(EMPTY_DIRECTORY), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr_text(&output).contains("similar"), "{arguments:?}: {}", stderr_text(&output));
    }
    let directory = tempfile::tempdir().unwrap();
    for command in ["gateway", "control-plane", "deliverer"] {
        let output = run(directory.path(), &[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(stderr_text(&output).contains("is for one process"), "{}", stderr_text(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_to_invalid_requests_contain_the_reason() {
    let cluster = TestCluster::start(1).await;
    let project = cluster.admin.create_project().await;
    let cases = [
        ("/api-keys", "{\"name\": \"k\",}".to_owned(), 400, "invalid-json", "line 1 column 14"),
        ("/api-keys", "{\"name\": 5}".to_owned(), 400, "validation", "name: must be a string"),
        ("/api-keys", "{\"name\": \"k\"}".to_owned(), 400, "validation", "projectId: is missing"),
        (
            "/projects",
            "{\"name\": \"p\", \"env\": \"prod\"}".to_owned(),
            400,
            "validation",
            "env: must be live or test",
        ),
        ("/projects", "{}".to_owned() + &" ".repeat(65 * 1024), 413, "body-too-large", "64 KiB"),
        (
            "/webhooks",
            "{\"name\": \"w\", \"url\": \"ftp://x\", \"topics\": [\"api-key.created\"]}".to_owned(),
            400,
            "webhook-address-refused",
            "scheme must be https",
        ),
        ("/nowhere", String::new(), 404, "not-found", "Not found"),
    ];
    for (path, body, status, code, detail) in cases {
        let response = cluster.admin.send(Method::POST, path, body).await;
        assert_eq!(response.status(), status, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains(&format!("\"code\":\"{code}\"")) && text.contains(detail), "{path}: {text}");
    }
    let long = "k".repeat(513);
    let name = "gatepost_auth_duration_seconds_count{source=\"store\"}";
    let before = cluster.gateways[0].metric(name).await;
    assert_eq!(cluster.get_status(0, &long).await, 401);
    assert!(
        (cluster.gateways[0].metric(name).await - before).abs() < f64::EPSILON,
        "the key was fetched from the store"
    );
    let nobody = crate::admin::Admin::new(cluster.admin.address, "live_access_nobody");
    assert_eq!(nobody.send(Method::GET, "/projects", String::new()).await.status(), 401);
    drop(project);
}

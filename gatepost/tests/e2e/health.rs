//! `gatepost health`, as a container runs it next to the process.

use std::path::Path;

use gatepost_test_support::{MockServer, free_port};

use crate::process::{EMPTY_DIRECTORY, Gatepost, command, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_process() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let address = up.ops.to_string();
    let ready = run(directory.path(), &["health", "--address", &address]);
    let text = String::from_utf8_lossy(&ready.stdout);
    assert!(ready.status.code() == Some(0) && text.contains("\"store\""), "{text}");
    assert_eq!(run(directory.path(), &["health", "--live", "--address", &address]).status.code(), Some(0));
    // By the configuration, here that of the environment, for all interfaces as in a container.
    let mut configured = command(directory.path(), &["health"]);
    configured.env("GATEPOST_OPS__LISTEN", format!("0.0.0.0:{}", up.ops.port()));
    assert_eq!(configured.output().unwrap().status.code(), Some(0));

    assert_eq!(up.terminate(), Some(0));
    let gone = run(directory.path(), &["health", "--address", &address]);
    let text = String::from_utf8_lossy(&gone.stderr);
    assert!(
        gone.status.code() == Some(1)
            && text.contains("did not respond: connection refused; ")
            && text.contains(&address),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_waits_for_its_store_is_alive_but_not_ready() {
    let (ops, store) = (format!("127.0.0.1:{}", free_port()), format!("redis://127.0.0.1:{}", free_port()));
    let arguments = ["control-plane", "--store", &store, "--admin-listen", "127.0.0.1:0", "--ops-listen", &ops];
    let waiting = command(Path::new(EMPTY_DIRECTORY), &arguments);
    let waiting = Gatepost::spawn_without_waiting(waiting, ops.parse().unwrap());
    waiting.await_log("opening the store failed, retrying").await;
    let health = |flags: &[&str]| run(Path::new(EMPTY_DIRECTORY), &[&["health", "--address", &ops], flags].concat());
    assert_eq!(health(&["--live"]).status.code(), Some(0));
    let not_ready = health(&[]);
    let text = String::from_utf8_lossy(&not_ready.stderr);
    assert!(not_ready.status.code() == Some(1) && text.contains("is not ready: {"), "{text}");
}

//! Single processes: the demo, and `up` on an embedded store.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gatepost_test_support::MockServer;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::admin::{Admin, client};
use crate::fence::revoke;
use crate::process::{Gatepost, command, command_of, run};
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks;

/// Held while a demo runs: of two that start at the same time, one could take a usual port that the other found free.
pub(crate) static DEMO: Mutex<()> = Mutex::const_new(());

#[test]
fn the_demo_shows_every_step() {
    let _only = DEMO.blocking_lock();
    let directory = tempfile::tempdir().unwrap();
    let shell = ["-c", "ulimit -n 8000 && exec \"$0\" demo --exit", env!("CARGO_BIN_EXE_gatepost")];
    let output = command_of(Path::new("/bin/sh"), directory.path(), &shell).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "a request without a key: 401",
        "with the key: 200 OK; the sample API saw:",
        "x-gatepost-custom-account-id: customer-42",
        "first use was detected once",
        "signature verified: api-key.created",
        "signature verified: api-key.firstUsed",
        "the key was revoked, and rejected",
    ] {
        assert!(stdout.contains(line), "{line:?} is missing in:\n{stdout}");
    }
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "a warning would be the demo's first line");
    assert!(!stdout.contains("sign-in"), "a link is printed to a terminal only: {stdout}");
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none(), "the demo left files behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_survives_a_kill_and_creates_access_keys_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let arguments = ["up", "--upstream", &origin.url()];
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let receiver = MockServer::start();
    let secret = admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    assert_eq!(receiver.await_count(2, DEADLINE), 2);
    webhooks::verify(&secret, &receiver.take_requests());

    let second = create_access_key(directory.path());
    up.kill();
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    let admin = Admin::new(up.admin.unwrap(), &second);
    let waiting = async { while revoke(&admin, &key, 5).await != "1/1" {} };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok());
    assert_eq!(get_status(&up.url("/x"), &key).await, 401);
    assert_eq!(up.terminate(), Some(0));
    assert!(create_access_key(directory.path()).starts_with("live_access_"), "without a running process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_completes_before_the_process_exits() {
    let directory = tempfile::tempdir().unwrap();
    let slow = MockServer::with_statuses(|_| (200, std::time::Duration::from_secs(2)));
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &slow.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    let url = up.url("/x");
    let in_flight = tokio::spawn(async move { get_status(&url, &key).await });
    assert_eq!(slow.await_count(1, DEADLINE), 1);
    let ready = format!("http://{}/readyz", up.ops);
    let ended = tokio::task::spawn_blocking(move || up.terminate());
    let draining = async { while client().get(&ready).send().await.unwrap().status() != 503 {} };
    assert!(tokio::time::timeout(DEADLINE, draining).await.is_ok(), "it stayed ready during the drain");
    assert_eq!(in_flight.await.unwrap(), 200);
    assert_eq!(ended.await.unwrap(), Some(0));
}

pub(crate) fn read_first_access_key(directory: &Path) -> String {
    let file = directory.join("gatepost-data/first-access-key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

fn create_access_key(directory: &Path) -> String {
    let output = command(directory, &["access-key", "create", "--output", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_key_left_pending_by_a_kill_is_published_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let arguments = ["up", "--upstream", &origin.url()];
    let file = directory.path().join("gatepost-data/first-access-key");
    let pending = directory.path().join("gatepost-data/first-access-key.new");
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    let first = read_first_access_key(directory.path());
    up.kill();
    // Simulates a crash after the commit, and then one before it.
    std::fs::rename(&file, &pending).unwrap();
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    assert_eq!(read_first_access_key(directory.path()), first);
    assert!(!pending.exists());
    up.kill();
    std::fs::write(&pending, "live_access_that_was_never_committed\n").unwrap();
    let _up = Gatepost::start(directory.path(), &arguments).await;
    assert_eq!(read_first_access_key(directory.path()), first);
    assert!(!pending.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_works_in_a_directory_with_a_long_path() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let origin = MockServer::start();
    let _up = Gatepost::start(&long, &["up", "--upstream", &origin.url()]).await;
    let store = format!("embedded:{}", long.join("gatepost-data").display());
    let output = run(&long, &["access-key", "create", "--account-name", "second", "--store", &store]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("live_access_"));
    assert!(stderr.contains("a NEW account was created"), "{stderr}");
}

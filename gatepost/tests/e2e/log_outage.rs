//! A log that cannot be written does not affect anything else.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Output, Stdio};

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::Value;

use crate::admin::{Admin, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost, Stderr, command};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, get_status};

/// Number of requests whose log lines do not fit into a pipe.
const REQUESTS: usize = 600;

async fn check_everything_works(stderr: Stderr) {
    let (redis, upstream, receiver) = (RedisServer::start(), MockServer::start(), MockServer::start());
    let access_key = create_access_key(&redis.url());
    let arguments = ["up", "--upstream", &upstream.url(), "--store", &redis.url()];
    let mut up = Gatepost::start_logging_to(Path::new(EMPTY_DIRECTORY), &arguments, stderr).await;
    let admin = Admin::new(up.admin.unwrap(), &access_key);
    admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    for _ in 0..REQUESTS {
        assert_eq!(get_status(&up.url("/x"), &key).await, 200, "{stderr:?}");
    }
    // Many tasks log during a short outage of the store.
    redis.signal("-STOP");
    up.await_metric("gatepost_live", 0.0).await;
    redis.signal("-CONT");
    up.await_metric("gatepost_live", 1.0).await;
    let (second, id) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &second).await, 200, "{stderr:?}");
    admin.revoke_key(&id).await;
    assert_eq!(receiver.await_count(5, DEADLINE), 5, "{stderr:?}: two keys created, both used, one revoked");
    if stderr != Stderr::NeverRead {
        let dropped = up.metric("gatepost_log_dropped_total").await;
        assert!(dropped > 0.0 && up.metric("gatepost_access_log_dropped_total").await > 0.0, "{stderr:?}");
    }
    assert_eq!(up.terminate(), Some(0), "{stderr:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_while_the_disk_of_the_log_is_full() {
    check_everything_works(Stderr::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_after_the_reader_of_the_log_has_exited() {
    check_everything_works(Stderr::ReaderGone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_while_the_log_is_not_read() {
    check_everything_works(Stderr::NeverRead).await;
}

/// Runs a command whose standard output cannot be written.
fn run_with_full_stdout(directory: &Path, arguments: &[&str]) -> Output {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    command(directory, arguments).stdout(Stdio::from(full)).stderr(Stdio::piped()).output().unwrap()
}

async fn access_keys(admin: &Admin) -> Vec<Value> {
    let listed = admin.send(Method::GET, "/access-keys", String::new()).await.text().await.unwrap();
    serde_json::from_str(&listed).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_key_that_cannot_be_printed_is_revoked() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let mut number_of_keys = 1;
    for is_running in [true, false] {
        if !is_running {
            assert_eq!(up.terminate(), Some(0));
        }
        let output = run_with_full_stdout(directory.path(), &["access-key", "create"]);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains("was revoked again") && printed.contains("no space left"), "{printed}");
        number_of_keys += 1;
        if !is_running {
            up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
        }
        let keys = access_keys(&Admin::new(up.admin.unwrap(), &admin.access_key)).await;
        assert_eq!(keys.len(), number_of_keys);
        assert_eq!(keys.iter().filter(|key| key["isActive"] == true).count(), 1, "{keys:?}");
    }
}

#[test]
fn a_command_that_cannot_print_reports_its_result_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["access-key", "create", "--store", "embedded:./data"];
    assert!(command(directory.path(), &arguments).output().unwrap().status.success());
    std::fs::write(directory.path().join("keys.csv"), "key,name,projectId\n").unwrap();
    for (arguments, done) in [
        (&["backup", "copy.redb"][..], "copy.redb was written"),
        (&["purge", "--inactive-for", "90d"], "0 of 0 keys and 0 of 1 access keys removed"),
        (&["import", "--format", "csv", "keys.csv"], "0 rows: 0 created"),
        (&["store", "upgrade"], "the store is in format 2"),
        (&["check", "--print-default"], "standard output cannot be written"),
        (&["check"], "standard output cannot be written"),
    ] {
        let arguments = [arguments, &["--store", "embedded:./data"]].concat();
        let output = run_with_full_stdout(directory.path(), &arguments);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
        assert!(printed.contains(done) && printed.contains("no space left"), "{arguments:?}: {printed}");
    }
}

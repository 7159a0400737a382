//! Import of keys from files, by value and by hash, and purges.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::{Admin, create_access_key};
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, TestCluster, get_status};

/// Number of keys that are measured.
const KEY_COUNT: usize = if cfg!(feature = "long") { 1_000_000 } else { 2_000 };

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write_file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Imports a file into a store. Returns whether it succeeded, and its output.
fn import(directory: &Path, store: &str, arguments: &[&str], file: &Path) -> (bool, String) {
    let arguments = [&["import", "--store", store], arguments, &[file.to_str().unwrap()]].concat();
    let output = run(directory, &arguments);
    (output.status.success(), printed(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_imported_by_value_and_by_hash_once_and_without_webhooks() {
    let cluster = TestCluster::start(1).await;
    let receiver = MockServer::start();
    cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let store = cluster.redis.url();
    let directory = tempfile::tempdir().unwrap();
    // SHA-256 of old-key-by-hex and of old-key-by-base64.
    let (hex, base64) = (
        "bd1c671487fccbdcaf1df24ec19302dba3f2bd5b5ba90f1c689d663ce524ab6b",
        "dWwQyDD5VljaX8ImH6LdBUn/4MKLDiYk3rSi1VoPj5M=",
    );
    let csv = format!(
        "key,sha256,name,projectId,customAccountId,expiry,customMetaData\n\
         old-key-by-value,,Jane,,c1,2099-01-01,\"{{\"\"plan\"\":\"\"gold\"\"}}\"\n\
         ,{hex},Hex,,,,\n\
         ,{base64},Base 64,{project},,,\n\
         short,,Bad,,,,\n\
         another-key,,Bad,prj_00nothing,,,\n"
    );
    let csv = write_file(directory.path(), "keys.csv", &csv);
    let arguments = ["--format", "csv", "--project", &project];
    let (is_ok, report) = import(directory.path(), &store, &[&arguments[..], &["--dry-run"]].concat(), &csv);
    assert!(!is_ok && report.starts_with("5 rows: 3 would be created, 0 already existed, 2 rejected"), "{report}");
    assert!(report.contains("row 4: key: ") && report.contains("row 5: projectId: "), "{report}");
    assert!(!report.contains("another-key"), "the report contains a value: {report}");
    assert_eq!(cluster.get_status(0, "old-key-by-value").await, 401);

    let (_, report) = import(directory.path(), &store, &arguments, &csv);
    assert!(report.starts_with("5 rows: 3 created, 0 already existed, 2 rejected"), "{report}");
    for key in ["old-key-by-value", "old-key-by-hex", "old-key-by-base64"] {
        cluster.await_status(0, key, 200).await;
    }
    let (_, report) = import(directory.path(), &store, &arguments, &csv);
    assert!(report.starts_with("5 rows: 0 created, 3 already existed, 2 rejected"), "{report}");

    let keys = cluster.admin.send(Method::GET, &format!("/api-keys?projectId={project}"), String::new()).await;
    let keys: Vec<Value> = serde_json::from_str(&keys.text().await.unwrap()).unwrap();
    assert_eq!(keys.len(), 3);
    let jane = keys.iter().find(|key| key["name"] == "Jane").unwrap();
    assert_eq!((&jane["customMetaData"], &jane["customAccountId"]), (&json!({"plan": "gold"}), &json!("c1")));
    assert_eq!(jane["expiresAt"], "2099-01-01T00:00:00.000Z");

    // Webhooks are notified only with --notify, and only of new values.
    let lines =
        "{\"key\": \"notified-key\", \"name\": \"Notified\"}\n{\"key\": \"old-key-by-value\", \"name\": \"Jane\"}\n";
    let lines = write_file(directory.path(), "keys.json", lines);
    let arguments = ["--format", "json", "--project", &project, "--notify"];
    let (is_ok, report) = import(directory.path(), &store, &arguments, &lines);
    assert!(is_ok && report.starts_with("2 rows: 1 created, 1 already existed, 0 rejected"), "{report}");
    assert_eq!(receiver.await_count(4, DEADLINE), 4, "three first uses, and one notification");
    let bodies: Vec<Value> =
        receiver.take_requests().iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    let created = bodies.iter().find(|body| body["type"] == "api-key.created").unwrap();
    assert_eq!(created["data"]["key"], "notified-key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_process_imports_and_purges_revoked_keys() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let rows = json!([{"key": "first-key", "name": "1"}, {"key": "second-key", "name": "2"}]);
    let rows = write_file(directory.path(), "keys.json", &rows.to_string());
    let store = "embedded:gatepost-data";
    let arguments = ["--format", "json", "--project", &project];
    let (is_ok, report) = import(directory.path(), store, &arguments, &rows);
    assert!(is_ok && report.starts_with("2 rows: 2 created"), "{report}");
    assert_eq!(get_status(&up.url("/x"), "first-key").await, 200);
    admin.revoke_key("first-key").await;
    // With the byte order mark that some programs write.
    let marked = write_file(directory.path(), "marked.json", "\u{feff}[{\"key\": \"first-key\", \"name\": \"1\"}]");
    let (is_ok, report) = import(directory.path(), store, &arguments, &marked);
    assert!(!is_ok && report.starts_with("1 rows: 0 created, 0 already existed, 1 rejected"), "{report}");
    assert!(report.contains("row 1") && report.contains("was revoked"), "{report}");
    let purge = |arguments: &[&str]| {
        let output = run(directory.path(), &[&["purge", "--store", store], arguments].concat());
        assert!(output.status.success(), "{}", printed(&output));
        printed(&output)
    };
    assert_eq!(purge(&["--inactive-for", "1d"]), "0 of 2 keys and 0 of 1 access keys removed\n");
    assert_eq!(purge(&["--inactive-for", "0d", "--dry-run"]), "1 of 2 keys and 0 of 1 access keys would be removed\n");
    assert_eq!(purge(&["--inactive-for", "0d"]), "1 of 2 keys and 0 of 1 access keys removed\n");
    let response = admin.send(Method::GET, "/api-keys/first-key", String::new()).await;
    assert_eq!(response.status(), 404);
    // Imported again it is a new key that was never used.
    let (is_ok, report) = import(directory.path(), store, &arguments, &rows);
    assert!(is_ok && report.starts_with("2 rows: 1 created, 1 already existed"), "{report}");
    let response = admin.send(Method::GET, "/api-keys/first-key", String::new()).await;
    let key: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((&key["firstUsedAt"], &key["isActive"]), (&Value::Null, &json!(true)));
}

/// Measures keys per second and bytes per key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_imported_fast() {
    let directory = tempfile::tempdir().unwrap();
    let mut csv = "key,name,customAccountId\n".to_owned();
    for number in 0..KEY_COUNT {
        writeln!(csv, "imported-key-{number:012},key {number},customer-{}", number % 1000).unwrap();
    }
    let csv = write_file(directory.path(), "many.csv", &csv);
    let redis = RedisServer::start();
    let access_key = create_access_key(&redis.url());
    let control_plane = Gatepost::start_on_store(&redis.url(), &["control-plane"]).await;
    let project = Admin::new(control_plane.admin.unwrap(), &access_key).create_project().await;
    let used = || -> u64 {
        let info = redis.redis_cli(&["info", "memory"]);
        info.lines().find_map(|line| line.trim().strip_prefix("used_memory:")).unwrap().parse().unwrap()
    };
    let before = used();
    measure(directory.path(), &redis.url(), &project, &csv);
    println!("redis: {} bytes per key, including its stream entry", (used() - before) / KEY_COUNT as u64);

    let data = directory.path().join("gatepost-data");
    let store = "embedded:gatepost-data";
    let origin = MockServer::start();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let project = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path())).create_project().await;
    assert_eq!(up.terminate(), Some(0));
    measure(directory.path(), store, &project, &csv);
    let bytes = std::fs::metadata(data.join("gatepost.redb")).unwrap().len();
    println!("embedded: {} bytes of file per key", bytes / KEY_COUNT as u64);
}

#[expect(clippy::print_stdout, reason = "the test reports its measurements")]
fn measure(directory: &Path, store: &str, project: &str, csv: &Path) {
    let began = tokio::time::Instant::now();
    let (is_ok, report) = import(directory, store, &["--format", "csv", "--project", project], csv);
    assert!(is_ok && report.starts_with(&format!("{KEY_COUNT} rows: {KEY_COUNT} created")), "{report}");
    let took: Duration = began.elapsed();
    println!(
        "{store}: {KEY_COUNT} keys in {:.1} s, {:.0} keys per second",
        took.as_secs_f64(),
        KEY_COUNT as f64 / took.as_secs_f64()
    );
}

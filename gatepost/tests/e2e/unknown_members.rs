//! Bodies with unknown members, and whole resources that are sent back, with real processes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepost_test_support::MockServer;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::admin::{Admin, client};
use crate::process::{EMPTY_DIRECTORY, Gatepost, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, TestCluster};

/// Number of concurrent read-modify-write tasks, and of writes of each.
const WRITERS: usize = 4;
const WRITES: usize = 25;

async fn send(admin: &Admin, method: Method, path: &str, prefer: &str, body: &Value) -> Response {
    let url = format!("http://{}{path}", admin.address);
    let request = client().request(method, url).header("x-api-key", &admin.access_key).header("prefer", prefer);
    request.body(body.to_string()).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_members_are_ignored_if_the_setting_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let arguments = ["up", "--upstream", &origin.url()];
    let ignore = [("GATEPOST_CONTROL_PLANE__UNKNOWN_MEMBERS", "ignore")];
    let up = Gatepost::start_with(directory.path(), &arguments, &ignore).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let body = json!({"name": "p", "env": "live", "color": "red"});
    for (prefer, expected) in [("wait=1", 201), ("handling=strict", 400), ("handling=lenient", 201)] {
        let response = send(&admin, Method::POST, "/projects", prefer, &body).await;
        assert_eq!(response.status(), expected, "{prefer}");
        let ignored = response.headers().get("gatepost-ignored").map(|names| names.to_str().unwrap());
        assert_eq!(ignored, (expected == 201).then_some("color"), "{prefer}");
    }
    let metrics = up.metrics().await;
    let counted = "gatepost_admin_ignored_members_total{method=\"POST\",route=\"/projects\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn the_setting_has_two_values() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("gatepost.toml"), "[control_plane]\nunknown_members = \"drop\"\n").unwrap();
    let output = run(directory.path(), &["check"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("must be refuse or ignore, not \"drop\""), "{stderr}");
}

/// Reads a key by its value or id, changes it and sends the whole resource back. Returns the status.
async fn read_modify_write(admin: &Admin, name: &str, number: usize) -> u16 {
    let path = format!("/api-keys/{name}");
    let read = admin.send(Method::GET, &path, String::new()).await;
    let mut key: Value = serde_json::from_str(&read.text().await.unwrap()).unwrap();
    key["customMetaData"]["writes"] = json!(number);
    admin.send(Method::PATCH, &path, key.to_string()).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_read_modify_writes_under_load_are_never_rejected_as_invalid() {
    let cluster = TestCluster::start(2).await;
    let project = cluster.admin.create_project().await;
    let all = json!({
        "name": "k", "projectId": project, "expiry": "2099-01-01", "permissions": ["read"],
        "rateLimitConfigs": {"rateLimit": 1_000_000, "rateLimitTtl": 60}, "quota": {"limit": 1_000_000, "period": "day"},
    });
    let key = cluster.admin.post("/api-keys", all).await;
    let (value, id) = (key["key"].as_str().unwrap().to_owned(), key["id"].as_str().unwrap().to_owned());
    let is_over = Arc::new(AtomicBool::new(false));
    let mut users = JoinSet::new();
    for gateway in &cluster.gateways {
        let (url, value, is_over) = (gateway.url("/x"), value.clone(), Arc::clone(&is_over));
        users.spawn(async move {
            let client = client();
            while !is_over.load(Ordering::Relaxed) {
                let status = client.get(&url).header("x-api-key", &value).send().await.unwrap().status();
                assert_eq!(status, 200);
            }
        });
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (admin, name) = (cluster.admin.clone(), if writer % 2 == 0 { value.clone() } else { id.clone() });
        writers.spawn(async move {
            let mut statuses = Vec::new();
            for number in 0..WRITES {
                statuses.push(read_modify_write(&admin, &name, number).await);
            }
            statuses
        });
    }
    let statuses: Vec<u16> = writers.join_all().await.concat();
    is_over.store(true, Ordering::Relaxed);
    users.join_all().await;
    // Lost races are conflicts, not errors of the request.
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() > WRITERS * WRITES / 2, "{statuses:?}");
    cluster.await_status(0, &value, 200).await;
}

/// `isActive: false` in a whole resource is a revocation that can be confirmed like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_resource_revokes_a_key_on_every_gateway_and_does_not_reactivate_it() {
    let cluster = TestCluster::start(2).await;
    let receiver = MockServer::start();
    cluster.admin.create_webhook(&receiver.url()).await;
    let project = cluster.admin.create_project().await;
    let created = cluster.admin.post("/api-keys", json!({"name": "k", "projectId": project})).await;
    let path = format!("/api-keys/{}", created["id"].as_str().unwrap());
    let value = created["key"].as_str().unwrap();
    for gateway in 0..2 {
        cluster.await_status(gateway, value, 200).await;
    }
    let mut revocation = created.clone();
    revocation["isActive"] = json!(false);
    let response = send(&cluster.admin, Method::PATCH, &path, "wait=5", &revocation).await;
    assert_eq!((response.status().as_u16(), response.headers()["gatepost-propagated"].to_str().unwrap()), (200, "2/2"));
    for gateway in 0..2 {
        assert_eq!(cluster.get_status(gateway, value).await, 401);
    }
    let response = send(&cluster.admin, Method::PATCH, &path, "wait=5", &created).await;
    assert_eq!(response.status(), 409);
    assert_eq!(cluster.get_status(0, value).await, 401);
    assert_eq!(receiver.await_count(3, DEADLINE), 3, "created, used, deleted");
    let bodies: Vec<Value> =
        receiver.take_requests().iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    assert!(bodies.iter().any(|body| body["type"] == "api-key.deleted"), "{bodies:?}");
}

fn import(directory: &Path, arguments: &[&str], file: &str) -> (bool, String) {
    let output = run(directory, &[&["import", "--store", "embedded:gatepost-data"], arguments, &[file]].concat());
    let output_bytes = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&output_bytes).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_columns_of_an_import_are_listed_once_or_prevent_it() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let project = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path())).create_project().await;
    let csv = "key,name,expiresAt,notes,rateLimitConfigs\n\
               first-key-value,1,2030-01-01,,\"{\"\"rateLimit\"\":1,\"\"rateLimitTtl\"\":1,\"\"burst\"\":2}\"\n\
               second-key-value,2,2030-01-01,,\n";
    let json = "{\"key\": \"third-key-value\", \"name\": \"3\", \"allowedIPs\": [\"10.0.0.1\"]}\n\
                {\"key\": \"fourth-key-value\", \"name\": \"4\", \"allowedIPs\": [], \"notes\": 1}\n";
    std::fs::write(directory.path().join("keys.csv"), csv).unwrap();
    std::fs::write(directory.path().join("keys.json"), json).unwrap();
    let of_csv = ["expiresAt: unknown member; a similar known one is expiry", "notes: ", "rateLimitConfigs.burst: "];
    let of_json = ["allowedIPs: unknown member; a similar known one is allowedIps", "notes: "];
    // By the running process, then by the command itself.
    for (rows, is_running) in [("0 already existed", true), ("2 already existed", false)] {
        for (format, file, lines) in [("csv", "keys.csv", &of_csv[..]), ("json", "keys.json", &of_json[..])] {
            let arguments = ["--format", format, "--project", &project];
            let (is_ok, report) = import(directory.path(), &[&arguments[..], &["--strict"]].concat(), file);
            assert!(!is_ok && report.contains("nothing was imported"), "{report}");
            let (is_ok, report) = import(directory.path(), &arguments, file);
            assert!(is_ok && report.contains(rows), "{report}");
            let first = report.lines().find(|line| line.contains(" rows: ")).unwrap();
            let expected = format!("; NOT IMPORTED: {} unknown columns or members", lines.len());
            assert!(first.ends_with(&expected) && report.contains("gatepost: warning: "), "{report}");
            for line in lines {
                assert_eq!(report.matches(&format!("not imported: {line}")).count(), 1, "{line}: {report}");
            }
            assert_eq!(report.matches("not imported").count(), lines.len(), "{report}");
        }
        if is_running {
            assert_eq!(up.terminate(), Some(0));
        }
    }
    std::fs::write(directory.path().join("good.csv"), "key,name\nfifth-key-value,5\n").unwrap();
    let arguments = ["--format", "csv", "--project", &project, "--strict"];
    let (is_ok, report) = import(directory.path(), &arguments, "good.csv");
    assert!(is_ok && report.starts_with("1 rows: 1 created"), "{report}");
    // Deserialized by position, the list would be a rate limit.
    let list = "{\"key\": \"sixth-key-value\", \"name\": \"6\", \"rateLimitConfigs\": [1, 60]}\n";
    std::fs::write(directory.path().join("list.json"), list).unwrap();
    let (is_ok, report) = import(directory.path(), &["--format", "json", "--project", &project], "list.json");
    assert!(!is_ok && report.contains("row 1: rateLimitConfigs: must be an object"), "{report}");
    // Nothing was written in the directory without a configuration.
    assert!(!Path::new(EMPTY_DIRECTORY).join("gatepost-data").exists());
}

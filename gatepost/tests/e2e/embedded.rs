//! The embedded store: killed during writes, copied while in use, and on a full disk.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::MockServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::process::{Gatepost, MASTER_KEY, command, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks::{self, Expected};

/// Number of times that the process is killed.
const KILLS: u32 = if cfg!(feature = "long") { 200 } else { 6 };
/// Number of concurrent writers.
const WRITERS: usize = 4;
/// Maximum time until everything is delivered at the end. The leases of the last kill are 30 s long.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(90);

/// Acknowledged writes: keys by id, and ids of revoked keys.
#[derive(Default)]
struct Acknowledged {
    keys: HashMap<String, String>,
    revoked: HashSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = MockServer::start();
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &receiver.url()]).await;
    let mut admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    admin.create_webhook(&receiver.url()).await;
    let project = admin.create_project().await;
    let all = Mutex::new(Acknowledged::default());
    for kill in 0..KILLS {
        let is_over = AtomicBool::new(false);
        let writers = (0..WRITERS).map(|_| write(&admin, &project, &all, &is_over));
        // The delays are chosen so that the kills hit different stages of a write.
        let killing = async {
            tokio::time::sleep(Duration::from_millis(60 + u64::from(kill * 37 % 120))).await;
            up.kill();
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(futures::future::join_all(writers), killing);
        up = Gatepost::start(directory.path(), &["up", "--upstream", &receiver.url()]).await;
        admin = Admin::new(up.admin.unwrap(), &admin.access_key);
    }
    let all = all.into_inner().unwrap();
    assert!(all.keys.len() > KILLS as usize, "only {} keys were created", all.keys.len());
    for id in all.keys.keys() {
        let response = admin.send(Method::GET, &format!("/api-keys/{id}"), String::new()).await;
        assert_eq!(response.status(), 200, "{id}");
        let key: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(!all.revoked.contains(id) || key["isActive"] == false, "{id} is active again");
    }
    // The events of all acknowledged writes are delivered too.
    let expected = Expected { created: all.keys.into_keys().collect(), deleted: all.revoked, ..Expected::default() };
    webhooks::await_all(&receiver, &expected, DELIVERY_DEADLINE).await;
}

/// Creates keys and revokes every second one, until the process is killed.
async fn write(admin: &Admin, project: &str, all: &Mutex<Acknowledged>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let input = json!({"name": "k", "projectId": project}).to_string();
        let Ok(response) = admin.try_send(Method::POST, "/api-keys", input).await else { return };
        let Ok(text) = response.text().await else { return };
        let Ok(key) = serde_json::from_str::<Value>(&text) else { return };
        let (id, value) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
        let is_second = {
            let mut all = all.lock().unwrap();
            all.keys.insert(id.clone(), value.clone());
            all.keys.len().is_multiple_of(2)
        };
        if is_second {
            let path = format!("/api-keys/{value}");
            let Ok(response) = admin.try_send(Method::DELETE, &path, String::new()).await else { return };
            if response.status() == StatusCode::OK {
                all.lock().unwrap().revoked.insert(id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_store_can_be_restored() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    let backup = run(directory.path(), &["backup", "copy"]);
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    let (later, _) = admin.create_api_key(&project).await;
    let again = run(directory.path(), &["backup", "copy"]);
    assert_eq!(again.status.code(), Some(1), "an existing file is not overwritten");
    drop(up);

    let restored = tempfile::tempdir().unwrap();
    std::fs::create_dir(restored.path().join("gatepost-data")).unwrap();
    std::fs::copy(directory.path().join("copy"), restored.path().join("gatepost-data/gatepost.redb")).unwrap();
    let other_master = command(restored.path(), &["up", "--upstream", &origin.url()])
        .env("GATEPOST_MASTER_KEY", MASTER_KEY.replacen('A', "B", 1))
        .output()
        .unwrap();
    assert_eq!(other_master.status.code(), Some(1));
    let up = Gatepost::start(restored.path(), &["up", "--upstream", &origin.url()]).await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
    assert_eq!(get_status(&up.url("/x"), &later).await, 401, "it was created after the backup");
    let admin = Admin::new(up.admin.unwrap(), &admin.access_key);
    admin.revoke_key(&key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_keys_are_accepted_and_writes_rejected_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let origin = MockServer::start();
    let up = Gatepost::up_on_small_disk(directory.path(), 64, &origin.url()).await;
    let disk = up.path_in_process(directory.path());
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(&disk));
    let project = admin.create_project().await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        keys.push(admin.create_api_key(&project).await.0);
    }
    assert_eq!(get_status(&up.url("/x"), &keys[0]).await, 200);

    fill_disk(&disk, 20);
    assert_eq!(try_create_key(&admin, &project).await.0, 503);
    assert!(try_create_key(&admin, &project).await.1.contains("disk is full"));
    admin.revoke_key(&keys[3]).await;
    assert_eq!(get_status(&up.url("/x"), &keys[1]).await, 200, "a first use is still recorded");

    fill_disk(&disk, 0);
    let response = admin.send(Method::DELETE, &format!("/api-keys/{}", keys[0]), String::new()).await;
    assert_eq!(response.status(), 503);
    for key in &keys[0..3] {
        assert_eq!(get_status(&up.url("/x"), key).await, 200, "keys that are cached, used, and never used");
    }
    assert_eq!(get_status(&up.url("/x"), &keys[3]).await, 401);

    std::fs::remove_file(disk.join("ballast")).unwrap();
    assert_eq!(try_create_key(&admin, &project).await.0, 201);
    let claimed = async { while up.metric("gatepost_first_use_total").await < 3.0 {} };
    assert!(tokio::time::timeout(DEADLINE, claimed).await.is_ok(), "a first use was lost");
}

/// Fills a disk until only the given number of MiB is free.
fn fill_disk(disk: &Path, mib: u64) {
    let ballast = disk.join("ballast");
    let _ = std::fs::remove_file(&ballast);
    let free = rustix::fs::statvfs(disk).unwrap();
    let fill = (free.f_bavail * free.f_frsize).saturating_sub(mib << 20);
    std::fs::write(ballast, vec![0; usize::try_from(fill).unwrap()]).unwrap();
}

async fn try_create_key(admin: &Admin, project: &str) -> (StatusCode, String) {
    let input = json!({"name": "k", "projectId": project}).to_string();
    let response = admin.send(Method::POST, "/api-keys", input).await;
    (response.status(), response.text().await.unwrap())
}

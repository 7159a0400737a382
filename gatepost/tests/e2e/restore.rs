//! `gatepost restore`, and what a store that is older than its past means for keys, fences, readers and webhooks.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::{MockServer, RecordedRequest, RedisServer};
use reqwest::Method;
use serde_json::Value;

use crate::admin::Admin;
use crate::listen::outcome;
use crate::process::{Gatepost, MASTER_KEY, command, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::get_status;
use crate::webhooks::{self, Expected};

/// The first retry comes after at most 6 s.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);
const STORE: &str = "gatepost-data/gatepost.redb";

/// A process, and a receiver of its webhooks that can be down.
struct Site {
    directory: tempfile::TempDir,
    origin: MockServer,
    hook: MockServer,
    is_down: Arc<AtomicBool>,
}

impl Site {
    fn new() -> Self {
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        let status = move |_| (if down.load(Ordering::Relaxed) { 500 } else { 200 }, Duration::ZERO);
        let (origin, hook) = (MockServer::start(), MockServer::with_statuses(status));
        Self { directory: tempfile::tempdir().unwrap(), origin, hook, is_down }
    }

    async fn up(&self) -> (Gatepost, Admin) {
        let up = Gatepost::start(self.directory.path(), &["up", "--upstream", &self.origin.url()]).await;
        let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(self.directory.path()));
        (up, admin)
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        outcome(&run(self.directory.path(), arguments))
    }

    fn store(&self) -> std::path::PathBuf {
        self.directory.path().join(STORE)
    }
}

/// Returns the ids of the events of a topic, as receivers see them.
fn webhook_ids(requests: &[RecordedRequest], topic: &str) -> HashSet<String> {
    webhooks::bodies_of_topic(requests, topic).iter().map(|body| body["id"].as_str().unwrap().to_owned()).collect()
}

async fn get(admin: &Admin, path: &str) -> Value {
    let response = admin.send(Method::GET, path, String::new()).await;
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_store_forgets_later_changes_and_repeats_events_under_their_ids() {
    let site = Site::new();
    let (mut up, admin) = site.up().await;
    admin.create_webhook(&site.hook.url()).await;
    let project = admin.create_project().await;
    let (revoked, revoked_id) = admin.create_api_key(&project).await;
    let (used, used_id) = admin.create_api_key(&project).await;
    site.is_down.store(true, Ordering::Relaxed);
    let (_, waiting_id) = admin.create_api_key(&project).await;
    site.hook.await_count(3, DELIVERY_DEADLINE);
    assert_eq!(site.run(&["backup", "copy"]).0, Some(0));
    site.is_down.store(false, Ordering::Relaxed);

    let (later, later_id) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &used).await, 200);
    admin.revoke_key(&revoked).await;
    let expected = Expected {
        created: [revoked_id.clone(), waiting_id.clone(), later_id.clone()].into(),
        used: [used_id.clone()].into(),
        deleted: [revoked_id.clone()].into(),
    };
    let before = webhooks::await_all(&site.hook, &expected, DELIVERY_DEADLINE).await;
    let cursor = get(&admin, "/events?limit=100").await["next"].as_str().unwrap().to_owned();
    assert_eq!(up.terminate(), Some(0));
    std::fs::rename(site.store(), site.directory.path().join("lost")).unwrap();

    let (code, stdout, stderr) = site.run(&["restore", "copy"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("is restored from copy; its last change was at 20"), "{stdout}");
    let (up, admin) = site.up().await;
    assert_eq!(get_status(&up.url("/x"), &later).await, 401, "it is not known any more");
    assert_eq!(get_status(&up.url("/x"), &revoked).await, 200, "its revocation is lost");
    assert_eq!(get_status(&up.url("/x"), &used).await, 200);
    let expected =
        Expected { created: [waiting_id].into(), used: [used_id, revoked_id.clone()].into(), ..Expected::default() };
    let after = webhooks::await_all(&site.hook, &expected, DELIVERY_DEADLINE).await;
    // What is sent again has the ids of before, and the events since are not sent.
    assert!(webhook_ids(&after, "api-key.created").is_subset(&webhook_ids(&before, "api-key.created")));
    assert!(webhooks::bodies_of_topic(&after, "api-key.deleted").is_empty());
    assert!(webhook_ids(&before, "api-key.firstUsed").is_subset(&webhook_ids(&after, "api-key.firstUsed")));

    // A reader that was ahead of the store learns it, and a fence covers the gateway again.
    let page = get(&admin, &format!("/events?after={cursor}")).await;
    assert_eq!(page["continues"], "unknown", "{page}");
    let fenced = admin.send_fenced(Method::DELETE, &format!("/api-keys/{revoked_id}"), String::new()).await;
    assert_eq!(fenced.headers()["gatepost-propagated"], "1/1");
    assert_eq!(get_status(&up.url("/x"), &revoked).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_only_where_no_store_is_and_only_with_its_master_key() {
    let site = Site::new();
    let (mut up, _) = site.up().await;
    assert_eq!(site.run(&["backup", "copy"]).0, Some(0));
    let (code, _, stderr) = site.run(&["restore", "copy"]);
    assert!(code == Some(1) && stderr.contains("exists already and is not overwritten"), "{stderr}");
    let store = std::fs::read(site.store()).unwrap();
    std::fs::remove_file(site.store()).unwrap();
    let (code, _, stderr) = site.run(&["restore", "copy"]);
    assert!(code == Some(1) && stderr.contains("a process still uses the store in"), "{stderr}");
    assert_eq!(up.terminate(), Some(0));

    let refused = |expected: &str, environment: &[(&str, &str)], file: &str| {
        let mut command = command(site.directory.path(), &["restore", file]);
        let (code, _, stderr) = outcome(&command.envs(environment.iter().copied()).output().unwrap());
        assert!(code == Some(1) && stderr.contains(expected), "{stderr}");
        let left: Vec<_> = std::fs::read_dir(site.directory.path().join("gatepost-data")).unwrap().collect();
        assert!(!site.store().exists() && left.iter().all(|entry| !is_scratch(entry)), "{left:?}");
    };
    let other_key = MASTER_KEY.replacen('A', "B", 1);
    refused("copy cannot be restored: store refused: ", &[("GATEPOST_MASTER_KEY", &other_key)], "copy");
    refused("cannot read missing", &[], "missing");
    std::fs::write(site.directory.path().join("half"), &store[..store.len() / 2]).unwrap();
    refused("half cannot be restored", &[], "half");

    let redis = RedisServer::start();
    let (code, _, stderr) = site.run(&["restore", "copy", "--store", &redis.url()]);
    assert!(code == Some(2) && stderr.contains("restore Redis from its RDB"), "{stderr}");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = site.directory.path().join("copy");
    let mut without_key = command(elsewhere.path(), &["restore", file.to_str().unwrap()]);
    let (code, _, stderr) = outcome(&without_key.env_remove("GATEPOST_MASTER_KEY").output().unwrap());
    assert!(code == Some(1) && stderr.contains("a backup does not contain the master key: put that"), "{stderr}");
    assert!(stderr.contains("name it with store.master_key_file"), "{stderr}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "no directory is left");
    assert_eq!(site.run(&["restore", "copy"]).0, Some(0));
    site.up().await;
}

fn is_scratch(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    let name = entry.as_ref().unwrap().file_name();
    Path::new(&name).to_string_lossy().starts_with("restore-")
}

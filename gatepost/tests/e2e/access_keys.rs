//! `gatepost access-key list` and `revoke`: what an operator does who cannot call the admin API.

use std::path::Path;

use gatepost_test_support::{MockServer, RedisServer};
use serde_json::Value;

use crate::admin::{Admin, create_access_key};
use crate::listen::outcome;
use crate::process::{EMPTY_DIRECTORY, Gatepost, run};
use crate::single_process::read_first_access_key;

/// Runs `gatepost access-key` on the store of a directory, or on one that an argument names.
fn access_key(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    outcome(&run(directory, &[&["access-key"], arguments].concat()))
}

fn list(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = access_key(directory, &[&["list", "--output", "json"], arguments].concat());
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Returns whether the admin API accepts an access key.
async fn is_accepted(admin: &Admin) -> bool {
    admin.send(reqwest::Method::GET, "/projects", String::new()).await.status() == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_without_access_key_lists_and_revokes_next_to_a_running_process_and_without_one() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let first = read_first_access_key(directory.path());
    let admin = Admin::new(up.admin.unwrap(), &first);
    let listed = list(directory.path(), &[]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["accountName"]), (&"active".into(), &"default".into()), "{listed:?}");
    assert!(!listed[0].to_string().contains(&first), "the value is shown");
    let (_, table, _) = access_key(directory.path(), &["list"]);
    assert!(table.starts_with("ID ") && table.contains(id) && table.lines().count() == 2, "{table}");

    let (code, _, stderr) = access_key(directory.path(), &["revoke", id]);
    assert!(code == Some(1) && stderr.contains("last access key") && stderr.contains("--allow-last"), "{stderr}");
    assert!(is_accepted(&admin).await);
    let (_, second, _) = access_key(directory.path(), &["create", "--name", "second"]);
    let (code, stdout, stderr) = access_key(directory.path(), &["revoke", id]);
    assert_eq!((code, stdout.as_str()), (Some(0), format!("revoked {id}\n").as_str()), "{stderr}");
    let second_admin = Admin::new(up.admin.unwrap(), second.trim());
    assert_eq!((is_accepted(&admin).await, is_accepted(&second_admin).await), (false, true));
    let events = second_admin.send(reqwest::Method::GET, "/events?order=desc&limit=1", String::new()).await;
    let events: Value = serde_json::from_str(&events.text().await.unwrap()).unwrap();
    assert_eq!(events["events"][0]["type"], "access-key.deleted", "{events}");

    assert_eq!(up.terminate(), Some(0));
    let states: Vec<_> = list(directory.path(), &[]).iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["revoked", "active"]);
    let second_id = list(directory.path(), &[])[1]["id"].as_str().unwrap().to_owned();
    let (code, _, stderr) = access_key(directory.path(), &["revoke", &second_id]);
    assert!(code == Some(1) && stderr.contains("--allow-last"), "{stderr}");
    let (code, ..) = access_key(directory.path(), &["revoke", &second_id, "--allow-last"]);
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_keys_on_redis_are_listed_page_by_page_and_revoked() {
    let redis = RedisServer::start();
    let url = redis.url();
    let directory = Path::new(EMPTY_DIRECTORY);
    create_access_key(&url);
    for name in ["second", "third"] {
        let (code, ..) = access_key(directory, &["create", "--store", &url, "--role", "viewer", "--name", name]);
        assert_eq!(code, Some(0));
    }
    let all = list(directory, &["--store", &url]);
    let (mut rows, mut after) = (Vec::new(), Vec::new());
    loop {
        let limited = [&["list", "--output", "json", "--limit", "2", "--store", &url][..], &after].concat();
        let (code, stdout, stderr) = access_key(directory, &limited);
        assert_eq!(code, Some(0), "{stderr}");
        rows.extend(serde_json::from_str::<Vec<Value>>(&stdout).unwrap());
        let Some((_, cursor)) = stderr.trim().rsplit_once("--after ") else { break };
        let cursor: &'static str = cursor.to_owned().leak();
        after = vec!["--after", cursor];
    }
    assert_eq!((rows.len(), &rows), (3, &all));
    let viewer = all.iter().find(|key| key["name"] == "second").unwrap()["id"].as_str().unwrap();
    assert_eq!(access_key(directory, &["revoke", viewer, "--store", &url]).0, Some(0));
    let (code, _, stderr) = access_key(directory, &["revoke", "ak_00unknown", "--store", &url]);
    assert!(code == Some(1) && stderr.contains("gatepost access-key list"), "{stderr}");
}

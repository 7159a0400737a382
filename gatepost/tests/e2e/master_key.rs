//! `gatepost master-key`: a master key is created, and replaced while processes run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use gatepost_test_support::{MockServer, RedisServer};

use crate::admin::{Admin, create_access_key};
use crate::listen::outcome;
use crate::process::{Gatepost, MASTER_KEY, command, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::get_status;

/// Runs `gatepost master-key` with a master key of the environment.
fn master_key(directory: &Path, key: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(directory, &[&["master-key"], arguments].concat());
    outcome(&command.env("GATEPOST_MASTER_KEY", key).output().unwrap())
}

fn create(directory: &Path) -> String {
    let (code, _, stderr) = outcome(&run(directory, &["master-key", "create", "new.key"]));
    assert_eq!(code, Some(0), "{stderr}");
    let file = directory.join("new.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, stderr) = outcome(&run(directory, &["master-key", "create", "new.key"]));
    assert!(code == Some(1) && stderr.contains("new.key"), "an existing file is not changed: {stderr}");
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_is_replaced_while_processes_run() {
    let (directory, redis, upstream) = (tempfile::tempdir().unwrap(), RedisServer::start(), MockServer::start());
    let url = redis.url();
    let access_key = create_access_key(&url);
    let (new, upstream) = (create(directory.path()), upstream.url());
    let arguments = ["up", "--upstream", &upstream];
    let old_process = Gatepost::start_on_store(&url, &arguments).await;
    let admin = Admin::new(old_process.admin.unwrap(), &access_key);
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let with_store = [&arguments[..], &["--store", &url]].concat();
    let start =
        async |key: &str| Gatepost::start_with(directory.path(), &with_store, &[("GATEPOST_MASTER_KEY", key)]).await;
    let rotate =
        |key: &str, step: &[&str]| master_key(directory.path(), key, &[&["rotate", "--store", &url], step].concat());

    let (code, _, stderr) = rotate(MASTER_KEY, &[]);
    assert!(code == Some(2) && stderr.contains("--new-file"), "{stderr}");
    let (code, _, stderr) = rotate(&new, &["--new-file", "new.key"]);
    assert!(code == Some(1) && stderr.contains("does not open this store"), "{stderr}");
    let (code, stdout, _) = rotate(MASTER_KEY, &["--finish"]);
    assert!(code == Some(0) && stdout.contains("no rotation"), "{stdout}");

    let (code, stdout, stderr) = rotate(MASTER_KEY, &["--new-file", "new.key"]);
    assert!(code == Some(0) && stdout.contains("--finish"), "{stdout}{stderr}");
    for process in [start(MASTER_KEY).await, start(&new).await] {
        assert_eq!(get_status(&process.url("/x"), &key).await, 200);
        assert!(process.readiness().await.1.contains("master-key rotate --finish"));
    }
    let (code, _, stderr) = rotate(MASTER_KEY, &["--finish"]);
    assert!(code == Some(1) && stderr.contains("still the old one"), "{stderr}");
    let (code, stdout, stderr) = rotate(&new, &["--finish"]);
    assert!(code == Some(0) && stdout.contains("only with the new"), "{stdout}{stderr}");

    let (second, _) = admin.create_api_key(&admin.create_project().await).await;
    assert_eq!(get_status(&old_process.url("/x"), &second).await, 200, "the running process goes on");
    let new_process = start(&new).await;
    assert!(!new_process.readiness().await.1.contains("master-key"));
    for key in [&key, &second] {
        assert_eq!(get_status(&new_process.url("/x"), key).await, 200);
    }
    let (code, _, stderr) = rotate(MASTER_KEY, &["--cancel"]);
    assert!(code == Some(1) && stderr.contains("does not open this store"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_of_an_embedded_store_is_replaced_while_it_is_not_in_use() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let data = directory.path().join("gatepost-data");
    let start = async || {
        let mut without_key = Command::new("env");
        without_key.args(["-u", "GATEPOST_MASTER_KEY"]);
        Gatepost::start_by(without_key, directory.path(), &["up", "--upstream", &upstream.url()]).await
    };
    let rotate = |step: &[&str]| {
        let mut command = command(directory.path(), &[&["master-key", "rotate"], step].concat());
        outcome(&command.env_remove("GATEPOST_MASTER_KEY").output().unwrap())
    };
    let mut up = start().await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    create(directory.path());
    let (code, _, stderr) = rotate(&["--new-file", "new.key"]);
    assert!(code == Some(1) && stderr.contains("in use"), "{stderr}");
    assert_eq!(up.terminate(), Some(0));

    let (code, _, stderr) = rotate(&["--new-file", "new.key"]);
    assert_eq!(code, Some(0), "{stderr}");
    std::fs::rename(directory.path().join("new.key"), data.join("master.key")).unwrap();
    let (code, _, stderr) = rotate(&["--finish"]);
    assert_eq!(code, Some(0), "{stderr}");
    let up = start().await;
    assert_eq!(get_status(&up.url("/x"), &key).await, 200);
}

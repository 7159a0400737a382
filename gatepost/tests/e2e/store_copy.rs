//! `gatepost store copy`: from one process with an embedded store to Redis, as an operator does it, and back.

use std::path::Path;
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::Value;

use crate::admin::Admin;
use crate::listen::outcome;
use crate::process::{EMPTY_DIRECTORY, Gatepost, MASTER_KEY, command, run};
use crate::single_process::read_first_access_key;
use crate::test_cluster::get_status;
use crate::webhooks::{self, Expected};

const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);

async fn events(admin: &Admin) -> Vec<Value> {
    let response = admin.send(Method::GET, "/events?limit=100", String::new()).await;
    let page: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    page["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_to_redis_and_back_with_keys_events_and_webhooks() {
    let (directory, redis, receiver) = (tempfile::tempdir().unwrap(), RedisServer::start(), MockServer::start());
    let arguments = ["up", "--upstream", &receiver.url()];
    let mut up = Gatepost::start(directory.path(), &arguments).await;
    let admin = Admin::new(up.admin.unwrap(), &read_first_access_key(directory.path()));
    let (hook, project) = (MockServer::start(), admin.create_project().await);
    admin.create_webhook(&hook.url()).await;
    let (used, used_id) = admin.create_api_key(&project).await;
    let (unused, unused_id) = admin.create_api_key(&project).await;
    assert_eq!(get_status(&up.url("/x"), &used).await, 200);
    let created = [used_id.clone(), unused_id.clone()].into();
    let expected = Expected { created, used: [used_id.clone()].into(), ..Expected::default() };
    webhooks::await_all(&hook, &expected, DELIVERY_DEADLINE).await;

    let url = redis.url();
    let to_redis = ["store", "copy", "--from", "embedded:gatepost-data", "--to", &url, "--to-namespace", "moved"];
    let (code, _, stderr) = outcome(&run(directory.path(), &to_redis));
    assert!(code == Some(1) && stderr.contains("is in use by another process"), "{stderr}");
    let before = events(&admin).await;
    assert_eq!(up.terminate(), Some(0));
    let (code, stdout, stderr) = outcome(&run(directory.path(), &to_redis));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("copied the store st_") && stdout.contains("(namespace moved)\n"), "{stdout}");
    assert!(stdout.contains("           1  first uses\n") && stdout.contains("with the checksum "), "{stdout}");
    assert!(stdout.contains("the same master key: the same setting as before\n"), "{stdout}");
    let (code, _, stderr) = outcome(&run(directory.path(), &to_redis));
    assert!(code == Some(1) && stderr.contains("namespace moved has this store already"), "{stderr}");

    let on_redis = [("GATEPOST_STORE__URL", url.as_str()), ("GATEPOST_STORE__NAMESPACE", "moved")];
    let mut up = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &on_redis).await;
    let moved = Admin::new(up.admin.unwrap(), &admin.access_key);
    assert_eq!(events(&moved).await[..before.len()], before[..]);
    for key in [&used, &unused] {
        assert_eq!(get_status(&up.url("/x"), key).await, 200);
    }
    moved.revoke_key(&unused).await;
    assert_eq!(get_status(&up.url("/x"), &unused).await, 401);
    let expected =
        Expected { used: [unused_id.clone()].into(), deleted: [unused_id.clone()].into(), ..Expected::default() };
    let sent = webhooks::await_all(&hook, &expected, DELIVERY_DEADLINE).await;
    let first_uses = webhooks::bodies_of_topic(&sent, "api-key.firstUsed");
    assert!(first_uses.iter().all(|body| body["data"]["id"] == unused_id), "{first_uses:?}");
    assert_eq!(up.terminate(), Some(0));

    let from_redis = ["store", "copy", "--from", &url, "--to", "embedded:back", "--from-namespace", "moved"];
    let (code, stdout, stderr) = outcome(&run(directory.path(), &from_redis));
    assert!(code == Some(0) && stdout.contains("the file back/master.key"), "{stdout}{stderr}");
    let back = [("GATEPOST_STORE__URL", "embedded:back"), ("GATEPOST_MASTER_KEY", MASTER_KEY)];
    let up = Gatepost::start_with(directory.path(), &arguments, &back).await;
    assert_eq!(get_status(&up.url("/x"), &used).await, 200);
    assert_eq!(get_status(&up.url("/x"), &unused).await, 401);
}

#[test]
fn a_copy_of_a_store_with_a_file_of_the_master_key_names_that_file() {
    let (directory, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let create = ["access-key", "create", "--store", "embedded:here"];
    assert!(command(directory.path(), &create).env_remove("GATEPOST_MASTER_KEY").output().unwrap().status.success());
    for (to, expected) in [
        (redis.url(), "store.master_key_file = \"here/master.key\""),
        ("embedded:there".to_owned(), "copy here/master.key to there/master.key"),
    ] {
        let (code, stdout, stderr) =
            outcome(&run(directory.path(), &["store", "copy", "--from", "embedded:here", "--to", &to]));
        assert!(code == Some(0) && stdout.contains(expected), "{stdout}{stderr}");
    }
}

#[test]
fn a_copy_names_the_flag_that_is_wrong() {
    for (flags, expected) in [
        (["--from", "nowhere", "--to", "embedded:x"], "--from: store.url: not a URL"),
        (["--from", "embedded:x", "--to", "nowhere"], "--to: store.url: not a URL"),
        (["--from", "embedded:missing", "--to", "embedded:x"], "there is no store at embedded:missing"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let output = command(directory.path(), &[&["store", "copy"][..], &flags].concat()).output().unwrap();
        let (code, _, stderr) = outcome(&output);
        assert!(code == Some(1) && stderr.contains(expected), "{flags:?}: {stderr}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{flags:?}");
    }
}

//! The previous release and this one on the same store.

use std::path::Path;
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Method;
use serde_json::json;

use crate::admin::{Admin, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost, command, command_of};
use crate::release::{LAST_RELEASE, program};
use crate::test_cluster::{DEADLINE, get_status};
use crate::webhooks;

/// Starts a process of the previous release.
async fn start_last_release(url: &str, arguments: &[&str]) -> Gatepost {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--store", url]).collect();
    Gatepost::start_program(&program(LAST_RELEASE), Path::new(EMPTY_DIRECTORY), &arguments, &[]).await
}

async fn await_status(gateway: &Gatepost, key: &str, status: u16) {
    let polling = async {
        while get_status(&gateway.url("/x"), key).await != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, polling).await.is_ok(), "the status never was {status}");
}

/// Checks the lifecycle of a key: created by one control plane, used on both gateways, limited over both, and changed
/// and revoked by the other control plane with confirmation of every gateway.
async fn check_key_lifecycle(creator: &Admin, revoker: &Admin, gateways: [&Gatepost; 2], receiver: &MockServer) {
    let project = creator.create_project().await;
    let (key, id) = creator.create_api_key(&project).await;
    for gateway in gateways {
        assert_eq!(get_status(&gateway.url("/x"), &key).await, 200);
    }
    let limit =
        json!({"name": "limited", "projectId": project, "rateLimitConfigs": {"rateLimit": 20, "rateLimitTtl": 60}});
    let limited = creator.post("/api-keys", limit).await["key"].as_str().unwrap().to_owned();
    let mut passed = 0;
    for number in 0..60 {
        let status = get_status(&gateways[number % 2].url("/x"), &limited).await;
        passed += u32::from(status == 200);
    }
    assert!(passed <= 20, "{passed} of 20 passed");
    let path = format!("/api-keys/{id}");
    let renamed = revoker.send(Method::PATCH, &path, json!({"name": "renamed"}).to_string()).await;
    assert_eq!(renamed.status(), 200);
    let revoked = revoker.send_fenced(Method::DELETE, &path, String::new()).await;
    assert_eq!((revoked.status().as_u16(), revoked.headers()["gatepost-propagated"].to_str().unwrap()), (200, "2/2"));
    for gateway in gateways {
        assert_eq!(get_status(&gateway.url("/x"), &key).await, 401);
    }
    let topics = ["api-key.created", "api-key.firstUsed", "api-key.deleted"];
    let mut received = Vec::new();
    let delivered = async {
        let is_received = |received: &Vec<_>, topic| {
            webhooks::bodies_of_topic(received, topic).iter().filter(|body| body["data"]["id"] == id.as_str()).count()
                == 1
        };
        while !topics.iter().all(|topic| is_received(&received, topic)) {
            received.extend(receiver.take_requests());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, delivered).await.is_ok(), "{} requests", received.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_previous_release_and_this_one_share_a_store_until_the_upgrade() {
    let (redis, origin, receiver) = (RedisServer::start(), MockServer::start(), MockServer::start());
    let url = redis.url();
    let created =
        command_of(&program(LAST_RELEASE), Path::new(EMPTY_DIRECTORY), &["access-key", "create", "--store", &url])
            .output();
    assert!(created.unwrap().status.success());
    let access_key = create_access_key(&url);
    let (gateway, plane) = (["gateway", "--upstream", &origin.url()], ["control-plane"]);
    let mut old = [start_last_release(&url, &gateway).await, start_last_release(&url, &plane).await];
    let new = [Gatepost::start_on_store(&url, &gateway).await, Gatepost::start_on_store(&url, &plane).await];
    let [old_admin, new_admin] = [&old[1], &new[1]].map(|plane| Admin::new(plane.admin.unwrap(), &access_key));
    old_admin.create_webhook(&receiver.url()).await;
    let both = [&old[0], &new[0]];
    for (creator, revoker) in [(&old_admin, &new_admin), (&new_admin, &old_admin), (&new_admin, &new_admin)] {
        check_key_lifecycle(creator, revoker, both, &receiver).await;
    }
    // The previous release can read a webhook that this one wrote: URL and headers are not encrypted.
    let hook = json!({
        "name": "new", "url": "https://example.com/path", "topics": ["api-key.created"], "customHeaders": {"X-New": "b"},
        "status": "paused",
    });
    let path = format!("/webhooks/{}", new_admin.post("/webhooks", hook.clone()).await["id"].as_str().unwrap());
    let read = old_admin.send(Method::GET, &path, String::new()).await.text().await.unwrap();
    let read: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert_eq!((&read["url"], &read["customHeaders"]), (&hook["url"], &hook["customHeaders"]));

    let upgrade = || {
        let output = command(Path::new(EMPTY_DIRECTORY), &["store", "upgrade", "--store", &url]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, printed) = upgrade();
    assert!(code == Some(1) && printed.contains("1 of the running gateways cannot read format 2"), "{printed}");
    assert_eq!(old[0].terminate(), Some(0));
    let (code, printed) = upgrade();
    assert_eq!(code, Some(0), "{printed}");

    // Remaining processes of the previous release cannot write, and new ones do not start.
    let rejected = old_admin.send(Method::POST, "/projects", json!({"name": "p", "env": "live"}).to_string()).await;
    assert_eq!(rejected.status(), 503);
    let arguments = ["gateway", "--upstream", &origin.url(), "--store", &url];
    let output = command_of(&program(LAST_RELEASE), Path::new(EMPTY_DIRECTORY), &arguments).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains("it needs gatepost 0.2 or later"), "{printed}");
    let second = Gatepost::start_on_store(&url, &gateway).await;
    await_status(&new[0], "never-a-key-value", 401).await;
    check_key_lifecycle(&new_admin, &new_admin, [&new[0], &second], &receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_can_be_downgraded_until_the_upgrade() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let arguments = ["up", "--upstream", &origin.url()];
    let mut up = Gatepost::start_program(&program(LAST_RELEASE), directory.path(), &arguments, &[]).await;
    let access_key = crate::single_process::read_first_access_key(directory.path());
    let mut keys = Vec::new();
    for is_new in [true, false, true] {
        let admin = Admin::new(up.admin.unwrap(), &access_key);
        let limits = json!({"rateLimitConfigs": {"rateLimit": 20, "rateLimitTtl": 60}}).to_string();
        let (key, id) = admin.create_api_key(&admin.create_project().await).await;
        assert_eq!(admin.send(Method::PATCH, &format!("/api-keys/{id}"), limits).await.status(), 200);
        keys.push(key);
        assert_eq!(up.terminate(), Some(0));
        up = if is_new {
            Gatepost::start(directory.path(), &arguments).await
        } else {
            Gatepost::start_program(&program(LAST_RELEASE), directory.path(), &arguments, &[]).await
        };
        for key in &keys {
            assert_eq!(get_status(&up.url("/x"), key).await, 200);
        }
    }
    let upgraded = command(directory.path(), &["store", "upgrade"]).output().unwrap();
    assert!(upgraded.status.success());
    assert_eq!(up.terminate(), Some(0));
    let output = command_of(&program(LAST_RELEASE), directory.path(), &arguments).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains("it needs gatepost 0.2 or later"), "{printed}");
    let up = Gatepost::start(directory.path(), &arguments).await;
    assert_eq!(get_status(&up.url("/x"), &keys[0]).await, 200);
}

//! A Redis with the access control list of `deploy/redis/gatepost.acl`.

use std::path::Path;

use gatepost_test_support::RedisServer;
use serde_json::json;

use crate::fence::shut_off;
use crate::process::{UNCONFIGURED, run};
use crate::site::Site;

const ACL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis/gatepost.acl"));

/// The store's URL, for the user of the list.
fn url(redis: &RedisServer) -> String {
    redis.url().replacen("://", "://gatepost:CHANGE-ME@", 1)
}

#[test]
fn redis_that_refuses_a_command_is_reported_with_user_and_command() {
    let redis = RedisServer::start_guarded(&ACL.replace(" +xadd", ""));
    let output = run(Path::new(UNCONFIGURED), &["access-key", "create", "--store", &url(&redis)]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the Redis user gatepost may not run the command xadd: its access control list"), "{told}");
    assert!(!told.contains("corrupt") && !told.contains("CHANGE-ME"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installation_runs_under_the_list() {
    let redis = RedisServer::start_guarded(ACL);
    let url = url(&redis);
    let site = Site::on(redis, &[url.as_str(); 3]).await;
    let project = site.admin.project().await;
    let limit = json!({"rateLimit": 100, "rateLimitTtl": 60});
    let key = site.admin.post("/api-keys", json!({"name": "k", "projectId": project, "rateLimitConfigs": limit})).await;
    let key = key["key"].as_str().unwrap();
    for gateway in [0, 1] {
        assert_eq!(site.ask(gateway, key).await, 200);
    }
    assert_eq!(shut_off(&site.admin, key, 5).await, "2/2");
    for gateway in [0, 1] {
        assert_eq!(site.ask(gateway, key).await, 401);
        assert_eq!(site.gateways[gateway].readiness().await.0, 200);
    }
}

//! Redis with the access control list of `deploy/redis/gatepost.acl`.

use std::path::Path;

use gatepost_test_support::RedisServer;
use serde_json::json;

use crate::fence::revoke;
use crate::process::{EMPTY_DIRECTORY, run};
use crate::test_cluster::TestCluster;

const ACL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis/gatepost.acl"));

/// Returns the store URL with the user of the access control list.
fn url(redis: &RedisServer) -> String {
    redis.url().replacen("://", "://gatepost:CHANGE-ME@", 1)
}

#[test]
fn redis_that_refuses_a_command_is_reported_with_user_and_command() {
    let redis = RedisServer::start_with_acl(&ACL.replace(" +xadd", ""));
    let output = run(Path::new(EMPTY_DIRECTORY), &["access-key", "create", "--store", &url(&redis)]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the Redis user gatepost may not run the command xadd: its access control list"),
        "{stderr}"
    );
    assert!(!stderr.contains("corrupt") && !stderr.contains("CHANGE-ME"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installation_runs_under_the_list() {
    let redis = RedisServer::start_with_acl(ACL);
    let url = url(&redis);
    let cluster = TestCluster::start_on(redis, &[url.as_str(); 3]).await;
    let project = cluster.admin.create_project().await;
    let limit = json!({"rateLimit": 100, "rateLimitTtl": 60});
    let key =
        cluster.admin.post("/api-keys", json!({"name": "k", "projectId": project, "rateLimitConfigs": limit})).await;
    let key = key["key"].as_str().unwrap();
    for gateway in [0, 1] {
        assert_eq!(cluster.get_status(gateway, key).await, 200);
    }
    assert_eq!(revoke(&cluster.admin, key, 5).await, "2/2");
    for gateway in [0, 1] {
        assert_eq!(cluster.get_status(gateway, key).await, 401);
        assert_eq!(cluster.gateways[gateway].readiness().await.0, 200);
    }
}

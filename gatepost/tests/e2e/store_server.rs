//! Every process says which server holds its store.

use gatepost_test_support::{MockServer, RedisServer};

use crate::admin::create_access_key;
use crate::process::Gatepost;

/// Waits until `/readyz` and the metric report this server.
async fn check(process: &Gatepost, name: &str, version: &str) {
    let expected = format!(r#""versions":{{"store":"{name} {version}"}}"#);
    process.await_readiness(|report| report.contains(&expected)).await;
    let series = format!(r#"gatepost_store_info{{server="{name}",version="{version}"}} 1"#);
    let metrics = process.metrics().await;
    let found: Vec<&str> = metrics.lines().filter(|line| line.starts_with("gatepost_store_info{")).collect();
    assert_eq!(found, [series.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_and_version_of_the_store_are_reported() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    check(&up, "embedded", env!("CARGO_PKG_VERSION")).await;

    let redis = RedisServer::start();
    create_access_key(&redis.url());
    let info = redis.redis_cli(&["info", "server"]);
    let version = |field: &str| info.lines().find_map(|line| line.strip_prefix(field)).map(str::trim);
    let (name, version) = match version("valkey_version:") {
        Some(version) => ("Valkey", version),
        None => ("Redis", version("redis_version:").unwrap()),
    };
    for part in [&["control-plane"][..], &["deliverer"], &["gateway", "--upstream", &origin.url()]] {
        check(&Gatepost::start_on_store(&redis.url(), part).await, name, version).await;
    }
}

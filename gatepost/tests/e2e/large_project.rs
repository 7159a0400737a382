//! The dashboard with a project of many keys, in a real Chromium.
#![cfg(feature = "long")]

use gatepost_test_support::RedisServer;

use crate::admin::{Admin, create_access_key};
use crate::browser::run_suite;
use crate::process::{Gatepost, run};

const KEYS: usize = 100_000;

/// The times that it prints are those of the browser, with pages of a build without optimization.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_of_100_000_keys_is_paged_and_searched() {
    let redis = RedisServer::start();
    let url = redis.url();
    let access_key = create_access_key(&url);
    let control_plane = Gatepost::start_on_store(&url, &["control-plane"]).await;
    let admin = control_plane.admin.unwrap();
    let project = Admin::new(admin, &access_key).create_project().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.csv");
    let rows = (0..KEYS).map(|number| format!("a-long-enough-key-{number},Key {number}\n"));
    std::fs::write(&file, format!("key,name\n{}", rows.collect::<String>())).unwrap();
    let import = ["import", "--store", &url, "--format", "csv", "--project", &project, file.to_str().unwrap()];
    let output = run(directory.path(), &import);
    assert!(output.status.success(), "{output:?}");
    let environment = [
        ("DASHBOARD_ORIGIN", format!("http://{admin}")),
        ("GATEWAYS", String::new()),
        ("ACCESS_KEY", access_key),
        ("KEYS", KEYS.to_string()),
    ];
    println!("{}", run_suite("large-project.mjs", &environment));
}

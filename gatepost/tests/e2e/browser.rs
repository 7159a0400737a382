//! The dashboard in a real Chromium: starts a site, and `tests/browser` in Node, which visits it.

use std::path::Path;
use std::process::Command;

use gatepost_test_support::{MockServer, RedisServer};

use crate::admin::create_access_key;
use crate::https_receiver::TestCa;
use crate::process::{EMPTY_DIRECTORY, Gatepost, MASTER_KEY, run};
use crate::secrets::{check_no_secrets, files};

/// Host name under which the suite visits the dashboard as from another machine.
const NAME: &str = "keys.example.com";
/// So that a page can be opened, and waits some seconds, before the gateway is not listed any more.
const SHORT_LEASE: (&str, &str) = ("GATEPOST_GATEWAY__MAX_STALE_MS", "20000");
/// Rows of the file that is imported.
const IMPORTED_ROWS: usize = if cfg!(feature = "long") { 10_000 } else { 2_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_works_in_a_browser() {
    let (redis, upstream) = (RedisServer::start(), MockServer::start());
    let (url, upstream) = (redis.url(), upstream.url());
    let access_key = create_access_key(&url);
    let arguments = ["control-plane", "--store", &url];
    let hosts = [("GATEPOST_CONTROL_PLANE__HOSTS", NAME)];
    let control_plane = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &hosts).await;
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Gatepost::start_on_store(&url, &["gateway", "--upstream", &upstream]).await);
    }
    let admin = control_plane.admin.unwrap().to_string();
    let link = || {
        let output = run(Path::new(EMPTY_DIRECTORY), &["dashboard", "--store", &url, "--admin-listen", &admin]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let gateway_urls: Vec<String> = gateways.iter().map(|gateway| gateway.url("")).collect();
    let gateway_pids: Vec<String> = gateways.iter().map(|gateway| gateway.pid().to_string()).collect();
    let (secrets, directory) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
    let ca = TestCa::create(directory.path());
    let environment = [
        ("DASHBOARD_ORIGIN", format!("http://{admin}")),
        ("GATEWAYS", gateway_urls.join(" ")),
        ("GATEWAY_PIDS", gateway_pids.join(" ")),
        ("ACCESS_KEY", access_key),
        ("LINK", link()),
        ("SECOND_LINK", link()),
        ("IMPORTED_ROWS", IMPORTED_ROWS.to_string()),
        ("TLS_CERTIFICATE", ca.certificate_file.display().to_string()),
        ("TLS_KEY", ca.key_file.display().to_string()),
        ("SECRETS_FILE", secrets.path().display().to_string()),
    ];
    run_suite("suite.mjs", &environment);
    let secrets = std::fs::read_to_string(secrets.path()).unwrap();
    assert!(secrets.lines().count() > 30, "{secrets}");
    let secrets: Vec<&str> = secrets.lines().map(|secret| secret.trim_start_matches("whsec_")).collect();
    assert_eq!(redis.redis_cli(&["save"]), "OK");
    let mut sources = files(redis.directory());
    let processes = gateways.iter().chain([&control_plane]);
    sources.extend(processes.map(|process| ("a log".to_owned(), process.log().join("\n").into_bytes())));
    check_no_secrets(&sources, &secrets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_of_changes_goes_on_after_a_restart() {
    let redis = RedisServer::start();
    let url = redis.url();
    let access_key = create_access_key(&url);
    // It trims the stream to the least that can be set.
    let retention = [("GATEPOST_EVENTS__MAX_ENTRIES", "1000")];
    let arguments = ["control-plane", "--store", &url];
    let control_plane = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &retention).await;
    run_suite(
        "restart.mjs",
        &[
            ("DASHBOARD_ORIGIN", format!("http://{}", control_plane.admin.unwrap())),
            ("GATEWAYS", String::new()),
            ("ACCESS_KEY", access_key),
            ("STORE", url.clone()),
            ("GATEPOST", env!("CARGO_BIN_EXE_gatepost").to_owned()),
            ("GATEPOST_MASTER_KEY", MASTER_KEY.to_owned()),
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_says_when_a_silent_gateway_refuses_all_keys() {
    let (redis, upstream) = (RedisServer::start(), MockServer::start());
    let (url, upstream) = (redis.url(), upstream.url());
    let access_key = create_access_key(&url);
    let control_plane = Gatepost::start_on_store(&url, &["control-plane"]).await;
    let arguments = ["gateway", "--store", &url, "--upstream", &upstream];
    let gateway = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &[SHORT_LEASE]).await;
    run_suite(
        "silent-gateway.mjs",
        &[
            ("DASHBOARD_ORIGIN", format!("http://{}", control_plane.admin.unwrap())),
            ("GATEWAYS", gateway.url("")),
            ("GATEWAY_PIDS", gateway.pid().to_string()),
            ("ACCESS_KEY", access_key),
        ],
    );
}

/// Runs a suite, and returns what it printed.
pub(crate) fn run_suite(suite: &str, environment: &[(&str, String)]) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(directory.join("node_modules").exists(), "npm packages are missing; run: cargo xtask test --only packages");
    let mut node = Command::new("node");
    node.args(["--test-reporter=spec", suite]).current_dir(directory).env("NO_PROXY", "127.0.0.1");
    let output = node.envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.into_owned()
}

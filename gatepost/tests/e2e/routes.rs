//! What routes set, from the configuration to the upstream.

use std::fs;

use gatepost_test_support::MockServer;
use reqwest::StatusCode;
use tempfile::TempDir;

use crate::admin::{Admin, client};
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;

/// A gateway whose configuration has a test's routes, and an upstream `app`.
struct Fixture {
    origin: MockServer,
    gatepost: Gatepost,
    key: String,
    directory: TempDir,
}

impl Fixture {
    async fn start(routes: &str) -> Self {
        let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
        write(&directory, &origin, routes);
        let gatepost = Gatepost::start(directory.path(), &["up"]).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let (key, _) = admin.create_api_key(&admin.create_project().await).await;
        Self { origin, gatepost, key, directory }
    }

    fn reload(&self, routes: &str) {
        write(&self.directory, &self.origin, routes);
        let output = run(self.directory.path(), &["reload", "--wait"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn write(directory: &TempDir, origin: &MockServer, routes: &str) {
    let text = format!("[gateway.upstream.app]\nservers = [\"{}\"]\n{routes}", origin.address());
    fs::write(directory.path().join("gatepost.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_over_the_edits_of_a_route() {
    let route = |team: &str, prefix: &str| {
        format!(
            "[[gateway.route]]\npath = \"/v1/app\"\nstrip_prefix = {prefix:?}\n\
             request_headers = {{ set = {{ x-team = {team:?} }}, remove = [\"user-agent\"] }}\n\
             response_headers.set.x-served-by = {team:?}\n"
        )
    };
    let fixture = Fixture::start(&route("one", "/v1")).await;
    for (team, prefix, target) in
        [("one", "/v1", "/app/x?y=1"), ("two", "/v1/app", "/x?y=1"), ("two", "", "/v1/app/x?y=1")]
    {
        fixture.reload(&route(team, prefix));
        let request = client().get(fixture.gatepost.url("/v1/app/x?y=1")).bearer_auth(&fixture.key);
        let response = request.header("x-team", "client").header("user-agent", "u").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-served-by"], team);
        let seen = fixture.origin.take_requests().pop().unwrap();
        assert_eq!(seen.request_line(), format!("GET {target} HTTP/1.1"));
        assert_eq!((seen.header("x-team"), seen.header("user-agent")), (vec![team], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_reports_all_faults_of_routes_with_their_lines() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let routes = "[[gateway.route]]\npath = \"/v1\"\nstrip_prefix = \"/v2\"\n\
                  request_headers.remove = [\"x-gatepost-env\"]\nresponse_headers.set.connection = \"close\"\n";
    write(&directory, &origin, routes);
    let output = run(directory.path(), &["check"]);
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    for fault in [
        "gatepost.toml:5: gateway.route.strip_prefix: \"/v2\" is not the path of the route or its first segments",
        "gatepost.toml:6: gateway.route.request_headers.remove: \"x-gatepost-env\": cannot be edited",
        "gatepost.toml:7: gateway.route.response_headers.set.connection: cannot be edited",
    ] {
        assert!(errors.contains(fault), "{fault:?} is not in {errors:?}");
    }
}

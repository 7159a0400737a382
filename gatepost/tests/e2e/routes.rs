//! What routes set, from the configuration to the upstream.

use std::fs;
use std::process::Command;

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
async fn curl_gets_what_each_setting_of_a_route_says() {
    let routes = [
        "[gateway]\nmax_wrong_keys_a_minute = 5\nmax_body_bytes = 100\n",
        "[[gateway.route]]\npath = \"/v1\"\nstrip_prefix = \"/v1\"\nrequest_headers.set.x-team = \"a\"\n\
         request_headers.remove = [\"x-debug\"]\nresponse_headers.set.strict-transport-security = \"max-age=300\"\n",
        "[[gateway.route]]\npath = \"/upload\"\nauth = \"off\"\nmax_body_bytes = 1000\n",
        "[[gateway.route]]\npath = \"/inside\"\nauth = \"off\"\nallow = [\"127.0.0.2/32\"]\n",
        "[[gateway.route]]\npath = \"/outside\"\nauth = \"off\"\ndeny = [\"127.0.0.2/32\"]\n",
        "[[gateway.route]]\npath = \"/maintained\"\nrespond = 503\nauth = \"off\"\n",
        "[[gateway.route]]\npath = \"/old\"\nrespond = 308\nauth = \"off\"\n\
         response_headers.set.location = \"https://api.example.com/v1\"\n",
    ];
    let fixture = Fixture::start(&routes.concat()).await;
    let curl = |path: &str, arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "-o", "/dev/null", "--write-out", "%{http_code}%{redirect_url}"]);
        let output = curl.args(arguments).arg(fixture.gatepost.url(path)).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let key = format!("x-api-key: {}", fixture.key);
    let edited =
        ["-H", &key, "-H", "x-team: b", "-H", "X_Debug: 1", "-w", "%{http_code} %header{strict-transport-security}"];
    assert_eq!(curl("/v1/items?page=2", &edited), "200 max-age=300");
    let seen = fixture.origin.take_requests().remove(0);
    assert_eq!(seen.request_line(), "GET /items?page=2 HTTP/1.1");
    assert_eq!((seen.header("x-team"), seen.header("x_debug")), (vec!["a"], vec![]));

    let [short, long] = [500, 2000].map(|length| "x".repeat(length));
    for (path, arguments, expected) in [
        ("/upload", &["-d", short.as_str()][..], "200"),
        ("/upload", &["-d", &long], "413"),
        ("/v1", &["-d", &short, "-H", &key], "413"),
        ("/inside", &[], "403"),
        ("/inside", &["--interface", "127.0.0.2"], "200"),
        ("/outside", &["--interface", "127.0.0.2"], "403"),
        ("/maintained", &[], "503"),
        ("/old", &[], "308https://api.example.com/v1"),
        ("/none", &[], "404"),
    ] {
        assert_eq!(curl(path, arguments), expected, "{path} {:.3?}", arguments.first());
    }

    // Of an address that sends wrong keys, no further one is looked up.
    let wrong: Vec<String> = (0..8).map(|number| curl("/v1", &["-H", &format!("x-api-key: wrong-{number}")])).collect();
    assert!(wrong[0] == "401" && wrong[7] == "429", "{wrong:?}");
    assert_eq!(curl("/v1", &["--interface", "127.0.0.3", "-H", "x-api-key: wrong"]), "401");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_browser_sends_is_in_no_log_and_no_metric() {
    let routes = "[[gateway.route]]\npath = \"/app\"\n\
                  credential = [\"query:key\", \"cookie:session\", \"protocol:key.\"]\n\
                  origins = [\"https://app.example\"]\n";
    let mut fixture = Fixture::start(routes).await;
    let key = fixture.key.clone();
    // A value of another format is masked only because it was presented.
    let foreign = "another/format-of-a-key";
    let send = async |path: String, name: &'static str, value: String| {
        let request = client().get(fixture.gatepost.url(&path)).header("origin", "https://app.example");
        request.header(name, value).send().await.unwrap().status().as_u16()
    };
    let encoded = foreign.replace('/', "%2F");
    for (path, name, value, status) in [
        (format!("/app/{key}?key={key}"), "x-other", String::new(), 200),
        (format!("/app/{key}"), "cookie", format!("session={key}"), 200),
        (format!("/app/{key}"), "sec-websocket-protocol", format!("chat, key.{key}"), 200),
        ("/app/x-opaque-key-1?key=opaque-key-1".to_owned(), "x-other", String::new(), 401),
        ("/app/x-opaque-key-2".to_owned(), "cookie", "session=opaque-key-2".to_owned(), 401),
        ("/app/x-opaque-key-3".to_owned(), "sec-websocket-protocol", "key.opaque-key-3".to_owned(), 401),
        (format!("/app?key={encoded}"), "x-other", String::new(), 401),
    ] {
        assert_eq!(send(path.clone(), name, value).await, status, "{path}");
    }
    for request in fixture.origin.take_requests() {
        let rest = request.head.replacen(&format!("/app/{key}"), "", 1);
        assert!(!rest.contains(&key), "{rest}");
    }
    let metrics = fixture.gatepost.metrics().await;
    assert_eq!(fixture.gatepost.terminate(), Some(0));
    let log = fixture.gatepost.log().join("\n");
    assert!(log.contains("/app/***"), "{log}");
    for secret in [key.as_str(), foreign, &encoded, "opaque-key-1", "opaque-key-2", "opaque-key-3"] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{secret} in {log}");
    }
    assert!(log.contains("credential has query:key: "), "a start warns: {log}");
}

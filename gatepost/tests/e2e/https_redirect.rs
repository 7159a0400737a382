//! A listener that only redirects to HTTPS, with curl as its client.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use gatepost_test_support::{MockServer, free_port};

use crate::certificates::Authority;
use crate::process::Gatepost;

/// Longest time until changed files are in use.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(10);

/// A listener with TLS and one that redirects to it, in front of an upstream that records requests.
struct Fixture {
    upstream: MockServer,
    gatepost: Gatepost,
    plain: SocketAddr,
    secure: SocketAddr,
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create(directory.path(), "ca");
        let files = authority.issue("server", &["api.example.com", "*.wild.example.com", "127.0.0.1"]);
        let [plain, secure] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let upstream = MockServer::start();
        let toml = format!(
            "[[gateway.listener]]\nname = \"secure\"\naddress = \"{secure}\"\n[gateway.listener.tls]\n\
             certificates = [{}]\n[[gateway.listener]]\naddress = \"{plain}\"\n\
             redirect_https = \"https://$host:{}\"\n[[gateway.route]]\nauth = \"off\"\n[[gateway.route]]\n\
             host = \"route.example.com\"\npath = \"/\"\nauth = \"off\"\n[gateway.upstream.app]\nservers = [\"{}\"]\n",
            files.toml(),
            secure.port(),
            upstream.address()
        );
        fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
        let gatepost = Gatepost::start(directory.path(), &["up"]).await;
        Self { upstream, gatepost, plain, secure, authority, directory }
    }

    /// Sends a request to the listener that redirects, and returns its status and location.
    fn curl(&self, host: &str, path: &str, arguments: &[&str]) -> (String, String) {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10", "--noproxy", "*", "-o", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %{redirect_url}"]);
        command.args(["--path-as-is", "--resolve", &format!("{host}:{}:127.0.0.1", self.plain.port())]);
        command.args(["--resolve", &format!("{host}:{}:127.0.0.1", self.secure.port())]);
        command.arg("--cacert").arg(&self.authority.ca_file);
        command.args(arguments).arg(format!("http://{host}:{}{path}", self.plain.port()));
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let (status, location) = printed.split_once(' ').unwrap();
        (status.to_owned(), location.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_known_host_are_redirected_and_nothing_goes_upstream_before() {
    let fixture = Fixture::start().await;
    let port = fixture.secure.port();
    for (host, path, status, location) in [
        ("api.example.com", "/v1?x=1", "308", format!("https://api.example.com:{port}/v1?x=1")),
        ("a.wild.example.com", "/", "308", format!("https://a.wild.example.com:{port}/")),
        ("route.example.com", "/%61", "308", format!("https://route.example.com:{port}/a")),
        ("127.0.0.1", "/", "308", format!("https://127.0.0.1:{port}/")),
        ("evil.example.com", "/", "421", String::new()),
        ("127.0.0.2", "/", "421", String::new()),
        ("api.example.com", "/a/../b", "400", String::new()),
    ] {
        assert_eq!(fixture.curl(host, path, &[]), (status.to_owned(), location), "{host}{path}");
    }
    assert_eq!(fixture.upstream.take_requests(), []);

    // A request keeps its method and body, and is forwarded once: over TLS.
    let arguments = ["--location", "--data", "hello", "--header", "content-type: text/plain"];
    assert_eq!(fixture.curl("api.example.com", "/v1", &arguments).0, "200");
    let requests = fixture.upstream.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].request_line(), "POST /v1 HTTP/1.1");
    assert_eq!(requests[0].body, b"hello");
    assert_eq!(requests[0].header("x-forwarded-proto"), ["https"]);
    let count =
        fixture.gatepost.metric("gatepost_requests_total{outcome=\"anonymous\",route=\"none\",status=\"308\"}").await;
    assert!(count >= 5.0, "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_a_renewed_certificate_are_known_with_it() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.curl("new.example.com", "/", &[]).0, "421");
    fixture.authority.issue("server", &["new.example.com"]);
    let waiting = async {
        while fixture.curl("new.example.com", "/", &[]).0 != "308" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = tokio::time::timeout(TAKE_OVER_DEADLINE, waiting).await;
    assert!(waited.is_ok(), "{}", fixture.gatepost.log().join("\n"));
    assert_eq!(fixture.curl("api.example.com", "/", &[]).0, "421", "it was renamed");
    drop(fixture.directory);
}

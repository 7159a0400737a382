//! Upstream servers whose names get other addresses while the gateway runs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost_test_support::{MockServer, free_port};

use crate::admin::client;
use crate::process::Gatepost;

/// Longest time until requests reach a server that has moved.
const MOVE_DEADLINE: Duration = Duration::from_secs(12);

/// The addresses of one name, as the gateway's machine knows them.
struct Hosts {
    file: PathBuf,
}

impl Hosts {
    fn set(&self, addresses: &[SocketAddr]) {
        let lines: Vec<String> = addresses.iter().map(|address| format!("{} api.internal\n", address.ip())).collect();
        fs::write(&self.file, lines.concat()).unwrap();
    }
}

/// Starts a gateway in front of one server, before its name is known.
async fn start(directory: &Path, port: u16, resolve_every_ms: u64) -> (Gatepost, Hosts) {
    let hosts = Hosts { file: directory.join("hosts") };
    hosts.set(&[]);
    let configuration = format!(
        "[[gateway.route]]\nauth = \"off\"\n[gateway.upstream.app]\nservers = [\"api.internal:{port}\"]\n\
         resolve_every_ms = {resolve_every_ms}\n"
    );
    fs::write(directory.join("gatepost.toml"), configuration).unwrap();
    (Gatepost::up_with_hosts(directory, &hosts.file).await, hosts)
}

/// Returns addresses of this machine with one port.
fn addresses(port: u16) -> [SocketAddr; 3] {
    [2, 3, 4].map(|host| SocketAddr::from(([127, 0, 0, host], port)))
}

async fn status(gatepost: &Gatepost) -> u16 {
    client().get(gatepost.url("/")).send().await.unwrap().status().as_u16()
}

/// Sends requests until a server gets one.
async fn await_request(gatepost: &Gatepost, server: &MockServer) {
    let before = server.request_count();
    let reaching = async {
        while server.request_count() == before {
            let _ = status(gatepost).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(MOVE_DEADLINE, reaching).await;
    assert!(reached.is_ok(), "no request reached {}: {}", server.address(), gatepost.log().join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_moves_is_followed_and_one_that_is_unknown_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let [first, second, third] = addresses(port);
    let (gatepost, hosts) = start(directory.path(), port, 1000).await;

    let (code, report) = gatepost.readiness().await;
    assert_eq!(code, 503, "{report}");
    assert!(report.contains("no server has an address yet: app"), "{report}");
    assert!(report.contains("cannot resolve api.internal"), "{report}");
    assert_eq!(status(&gatepost).await, 502);

    let server = MockServer::start_on(first);
    hosts.set(&[first]);
    gatepost.await_ready().await;
    assert_eq!(status(&gatepost).await, 200);
    assert_eq!(server.request_count(), 1);
    assert_eq!(gatepost.metric("gatepost_upstream_servers{upstream=\"app\"}").await, 1.0);

    let replacement = MockServer::start_on(second);
    hosts.set(&[second]);
    await_request(&gatepost, &replacement).await;
    assert_eq!(status(&gatepost).await, 200);

    let addition = MockServer::start_on(third);
    hosts.set(&[second, third]);
    await_request(&gatepost, &addition).await;
    await_request(&gatepost, &replacement).await;
    assert_eq!(gatepost.metric("gatepost_upstream_servers{upstream=\"app\"}").await, 2.0);

    // A name that does not resolve any more keeps its addresses.
    hosts.set(&[]);
    gatepost.await_log("the name of a server does not resolve").await;
    let (code, report) = gatepost.readiness().await;
    assert_eq!(code, 200, "{report}");
    await_request(&gatepost, &addition).await;
    await_request(&gatepost, &replacement).await;
    assert!(gatepost.metric("gatepost_upstream_resolve_errors_total{upstream=\"app\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_connections_is_looked_for_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let [nobody, server, _] = addresses(port);
    let server = MockServer::start_on(server);
    let (gatepost, hosts) = start(directory.path(), port, 24 * 3600 * 1000).await;
    hosts.set(&[nobody]);
    gatepost.await_ready().await;
    assert_eq!(status(&gatepost).await, 502);
    hosts.set(&[server.address()]);
    await_request(&gatepost, &server).await;
}

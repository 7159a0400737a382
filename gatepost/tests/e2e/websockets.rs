//! WebSockets through the gateway, with an independent library as client and server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gatepost_test_support::{MockServer, free_port};
use tempfile::TempDir;

use crate::admin::Admin;
use crate::certificates::Authority;
use crate::https_receiver::PYTHON;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Limit of a raw client for a response.
const DEADLINE: Duration = Duration::from_secs(20);

fn peer(arguments: &[&str]) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg("websocket_peer.py").args(arguments);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server of WebSockets, killed when dropped.
struct Server {
    address: SocketAddr,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let mut process = peer(&["server"]).spawn().unwrap_or_else(|error| {
            panic!("{error}: packages are missing? Run: cargo xtask test --only packages");
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap())), process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A gateway with a plain listener and one with TLS, and a key.
struct Fixture {
    gatepost: Gatepost,
    secure: SocketAddr,
    ca: PathBuf,
    key: String,
    _directory: TempDir,
}

impl Fixture {
    /// Its limits are lower than what WebSockets may need.
    async fn start(upstream: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create(directory.path(), "ca");
        let files = authority.issue("server", &["localhost"]);
        let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let toml = format!(
            "[gateway]\nmax_body_bytes = 1000\ndrain_timeout_ms = 500\n[[gateway.listener]]\naddress = \"{secure}\"\n[gateway.listener.tls]\n\
             certificates = [{}]\n[gateway.upstream.app]\nservers = [\"{upstream}\"]\n",
            files.toml()
        );
        fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
        let gatepost = Gatepost::start(directory.path(), &["up"]).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let (key, _) = admin.create_api_key(&admin.create_project().await).await;
        Self { gatepost, secure, ca: authority.ca_file, key, _directory: directory }
    }

    /// Runs a scenario of the client, and returns what it prints.
    fn run(&self, url: &str, key: &str, scenario: &str) -> String {
        let output = peer(&["client", url, key, &self.ca.display().to_string(), scenario]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    fn urls(&self, path: &str) -> [String; 2] {
        let plain = self.gatepost.url(path).replacen("http", "ws", 1);
        [plain, format!("wss://localhost:{}{path}", self.secure.port())]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_any_length_pass_both_ways_until_either_side_closes() {
    let server = Server::start();
    let fixture = Fixture::start(server.address).await;
    for url in fixture.urls("/echo") {
        assert_eq!(fixture.run(&url, &fixture.key, "echo"), "4001 as asked", "{url}");
        for key in ["", "wrong"] {
            assert_eq!(fixture.run(&url, key, "echo"), "401", "{url}");
        }
    }
    for url in fixture.urls("/sink") {
        assert_eq!(fixture.run(&url, &fixture.key, "upload"), (150 << 20).to_string(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_when_the_gateway_goes_away() {
    let server = Server::start();
    let mut fixture = Fixture::start(server.address).await;
    let ca = fixture.ca.display().to_string();
    let mut clients = fixture.urls("/echo").map(|url| {
        let mut client = peer(&["client", &url, &fixture.key, &ca, "wait"]).spawn().unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "hello");
        (client, lines)
    });
    assert_eq!(fixture.gatepost.terminate(), Some(0));
    for (client, lines) in &mut clients {
        assert_eq!(lines.next().unwrap().unwrap(), "1001");
        assert!(client.wait().unwrap().success());
    }
    let log = fixture.gatepost.log().join("\n");
    assert!(!log.contains("were aborted"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_are_not_switched_to_and_no_byte_after_such_a_request_is_part_of_it() {
    let upstream = MockServer::start();
    let fixture = Fixture::start(upstream.address()).await;
    for protocol in ["h2c", "TLS/1.0", "websocket, h2c"] {
        let request = format!(
            "GET /x HTTP/1.1\r\nhost: a\r\nx-api-key: {}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n\
             GET /no-key HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            fixture.key
        );
        let mut stream = TcpStream::connect(fixture.gatepost.gateway.unwrap()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let response = std::io::read_to_string(&mut stream).unwrap();
        let statuses: Vec<&str> = response.lines().filter(|line| line.contains("HTTP/1.1 ")).collect();
        assert!(statuses.len() == 2 && statuses[0].contains(" 200 ") && statuses[1].contains(" 401 "), "{response}");
        let seen = upstream.take_requests();
        assert_eq!(seen.len(), 1, "{protocol}: {seen:?}");
        assert_eq!((seen[0].header("upgrade"), seen[0].header("connection")), (vec![], vec![]), "{protocol}");
        assert!(seen[0].body.is_empty(), "{protocol}: {seen:?}");
    }
}

//! TLS to upstreams, with OpenSSL as their server.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gatepost_test_support::free_port;
use rcgen::date_time_ymd;
use serde_json::Value;

use crate::admin::{Admin, client};
use crate::certificates::{Authority, Files};
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Attempts, 20 ms apart, until a server listens.
const MAX_ATTEMPTS: u32 = 500;

/// An HTTPS server that responds with 200, killed when dropped.
struct TlsServer {
    address: SocketAddr,
    process: Child,
}

impl TlsServer {
    fn start(files: &Files, arguments: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-quiet", "-accept", &address.to_string()]);
        command.arg("-cert").arg(&files.cert).arg("-key").arg(&files.key).args(arguments);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { address, process };
        for _ in 0..MAX_ATTEMPTS {
            if TcpStream::connect(address).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("openssl does not listen on {address}");
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_valid_certificate_of_the_configured_name_and_authority_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let stranger = Authority::create(directory.path(), "stranger");
    let valid = authority.issue("valid", &["api.internal"]);
    let expired = authority.issue_with("expired", &["api.internal"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let client_certificate = authority.issue("client", &["client"]);
    let server = TlsServer::start(&valid, &[]);
    let outdated = TlsServer::start(&expired, &[]);
    let ca = authority.ca_file.display().to_string();
    let strict = TlsServer::start(&valid, &["-Verify", "1", "-CAfile", &ca, "-verify_return_error"]);
    let (cert, key) = (client_certificate.cert.display().to_string(), client_certificate.key.display().to_string());
    let upstreams = [
        ("right", &server, format!("name = \"api.internal\"\nca = {ca:?}"), 200),
        ("wrong-name", &server, format!("name = \"other.internal\"\nca = {ca:?}"), 502),
        // The same address as the first: a connection of one is never used for the other.
        (
            "wrong-ca",
            &server,
            format!("name = \"api.internal\"\nca = {:?}", stranger.ca_file.display().to_string()),
            502,
        ),
        ("system-ca", &server, "name = \"api.internal\"".to_owned(), 502),
        ("expired", &outdated, format!("name = \"api.internal\"\nca = {ca:?}"), 502),
        ("no-certificate", &strict, format!("name = \"api.internal\"\nca = {ca:?}"), 502),
        ("certificate", &strict, format!("name = \"api.internal\"\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}"), 200),
    ];
    let tables = upstreams.iter().map(|(name, server, tls, _)| {
        let route = format!("[[gateway.route]]\npath = \"/{name}\"\nupstream = \"{name}\"\n");
        let address = server.address;
        format!("{route}[gateway.upstream.{name}]\nservers = [\"{address}\"]\n[gateway.upstream.{name}.tls]\n{tls}\n")
    });
    fs::write(directory.path().join("gatepost.toml"), tables.collect::<String>()).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
    let project = admin.create_project().await;
    let (key, _) = admin.create_api_key(&project).await;
    for (name, _, _, status) in upstreams.iter().chain(&upstreams) {
        let response = client().get(gatepost.url(&format!("/{name}"))).header("x-api-key", &key).send().await.unwrap();
        assert_eq!(response.status(), *status, "{name}");
        if *status != 200 {
            let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(problem["code"], "upstream-tls", "{name}: {problem}");
        }
    }
    // Counted before the response. OpenSSL's server may end a body without TLS's end, so that "right" counts as closed.
    for upstream in ["wrong-name", "no-certificate"] {
        let name = format!("gatepost_upstream_requests_total{{result=\"tls\",upstream=\"{upstream}\"}}");
        assert!(gatepost.metric(&name).await >= 2.0, "{name}");
    }
}

//! TLS to upstreams, with OpenSSL as their server.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gatepost_test_support::{ReverseProxy, free_port};
use rcgen::date_time_ymd;
use serde_json::Value;

use crate::admin::{Admin, client};
use crate::certificates::{Authority, Files};
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Longest time until changed files are in use.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(10);
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
    let mut gatepost = Gatepost::start(directory.path(), &["up"]).await;
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
    assert_eq!(gatepost.terminate(), Some(0));
    check_reasons(&gatepost.log());
}

/// Checks that the access log says what is to be mended.
fn check_reasons(log: &[String]) {
    for (path, reason) in [
        ("/wrong-name", "the certificate of the server does not have the configured name"),
        ("/wrong-ca", "the certificate of the server comes from an unknown authority"),
        ("/expired", "the certificate of the server has expired"),
        ("/no-certificate", "the server requires a certificate"),
    ] {
        let of_path = log.iter().filter(|line| line.contains(&format!("\"path\":\"{path}\""))).collect::<Vec<_>>();
        let reason = format!("\"reason\":\"{reason}\"");
        assert!(!of_path.is_empty() && of_path.iter().all(|line| line.contains(&reason)), "{path}: {of_path:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_at_one_address_with_other_authorities_share_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let stranger = Authority::create(directory.path(), "stranger");
    let files = authority.issue("server", &["api.internal"]);
    let server = ReverseProxy::https(&files.cert, &files.key);
    let both = directory.path().join("both.pem");
    let pem = [&authority.ca_file, &stranger.ca_file].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&both, pem.concat()).unwrap();
    let upstreams = [("one", &authority.ca_file), ("stranger", &stranger.ca_file), ("both", &both)];
    let tables = upstreams.iter().map(|(name, ca)| {
        format!(
            "[[gateway.route]]\npath = \"/{name}\"\nupstream = \"{name}\"\nauth = \"off\"\n\
             [gateway.upstream.{name}]\nservers = [\"{}\"]\ntls = {{ name = \"api.internal\", ca = {:?} }}\n",
            server.address(),
            ca.display().to_string()
        )
    });
    fs::write(directory.path().join("gatepost.toml"), tables.collect::<String>()).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let connection = async |path: &str| {
        let response = client().get(gatepost.url(path)).send().await.unwrap();
        let connection = response.headers().get("x-connection").map(|number| number.to_str().unwrap().to_owned());
        (response.status().as_u16(), connection)
    };
    let (status, one) = connection("/one").await;
    assert!(status == 200 && one.is_some(), "{one:?}");
    let (status, both) = connection("/both").await;
    assert!(status == 200 && both.is_some() && both != one, "{both:?} {one:?}");
    for _ in 0..3 {
        assert_eq!(connection("/one").await, (200, one.clone()), "a connection of its own is kept");
        assert_eq!(connection("/stranger").await, (502, None));
        assert_eq!(connection("/both").await, (200, both.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_of_an_upstream_are_taken_over_and_broken_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, clients) =
        (Authority::create(directory.path(), "ca"), Authority::create(directory.path(), "clients"));
    let stranger = Authority::create(directory.path(), "stranger");
    let server = authority.issue("server", &["api.internal"]);
    let client_ca = clients.ca_file.display().to_string();
    let server = TlsServer::start(&server, &["-Verify", "1", "-CAfile", &client_ca, "-verify_return_error"]);
    // The wrong authority, and a certificate that the server does not trust.
    let ca = directory.path().join("used-ca.pem");
    fs::copy(&stranger.ca_file, &ca).unwrap();
    let shown = stranger.issue("shown", &["client"]);
    let [ca_text, cert, key] = [&ca, &shown.cert, &shown.key].map(|file| file.display().to_string());
    let toml = format!(
        "[[gateway.route]]\nauth = \"off\"\n[gateway.upstream.app]\nservers = [\"{}\"]\n[gateway.upstream.app.tls]\n\
         name = \"api.internal\"\nca = {ca_text:?}\ncert = {cert:?}\nkey = {key:?}\n",
        server.address
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let status = async || client().get(gatepost.url("/")).send().await.unwrap().status().as_u16();
    let await_status = async |expected: u16| {
        let waiting = async {
            while status().await != expected {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let waited = tokio::time::timeout(TAKE_OVER_DEADLINE, waiting).await;
        assert!(waited.is_ok(), "never {expected}: {}", gatepost.log().join("\n"));
    };
    assert_eq!(status().await, 502);
    fs::copy(&authority.ca_file, &ca).unwrap();
    gatepost.await_log("certificates were taken over").await;
    assert_eq!(status().await, 502, "the server does not trust the client");
    clients.issue("shown", &["client"]);
    await_status(200).await;

    let faulty = "gatepost_upstream_certificate_files_faulty{upstream=\"app\"}";
    assert_eq!(gatepost.metric(faulty).await, 0.0);
    fs::write(&ca, "no certificate").unwrap();
    gatepost.await_log("certificates are not taken over").await;
    gatepost.await_metric(faulty, 1.0).await;
    let warning = "the changed certificates of upstream app are not in use: ";
    gatepost.await_readiness(|report| report.contains(warning) && report.contains("has no certificate")).await;
    assert_eq!(status().await, 200, "the old ones stay");
    // Connections that were made before are not used with others.
    fs::copy(&stranger.ca_file, &ca).unwrap();
    await_status(502).await;
    gatepost.await_metric(faulty, 0.0).await;
    gatepost.await_readiness(|report| !report.contains(warning)).await;
}

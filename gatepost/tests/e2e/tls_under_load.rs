//! HTTPS of the gateway under load, and against clients that do not behave.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gatepost_test_support::{MockServer, free_port};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::fair_share::raise_open_files_limit;
use crate::gateway_tls::Fixture;
use crate::process::Gatepost;

const NAME: &str = "api.example.com";
/// Requests of one curl, 100 a second.
const REQUESTS: usize = 1200;
/// Connections that send nothing.
const SILENT: usize = 3000;
/// Limit for their end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Starts a curl that sends requests at a steady rate, and prints status and number of new connections of each.
fn curl_load(fixture: &Fixture, ca: &Path, arguments: &[&str]) -> Child {
    let port = fixture.secure.port();
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--rate", "100/s"]);
    command.args(["--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}\\n"]).arg("--cacert").arg(ca);
    command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]).args(arguments);
    command.args(["--header", &format!("authorization: Bearer {}", fixture.key)]);
    command.arg(format!("https://{NAME}:{port}/v1/[1-{REQUESTS}]"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a load, and returns how many connections it has made. All requests must have succeeded.
fn connections_of(load: Child) -> usize {
    let output = load.wait_with_output().unwrap();
    let (lines, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let made = lines.lines().map(|line| {
        let connects = line.strip_prefix("200 ").unwrap_or_else(|| panic!("{line:?}: {errors}"));
        connects.parse::<usize>().unwrap()
    });
    let made: Vec<usize> = made.collect();
    assert_eq!(made.len(), REQUESTS, "{errors}");
    made.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_swapped_under_load_fail_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue_as("server", &[NAME], "first");
    let fixture = Fixture::start(directory, &format!("certificates = [{}]", files.toml())).await;
    let mut kept = curl_load(&fixture, &authority.ca_file, &[]);
    let fresh = curl_load(&fixture, &authority.ca_file, &["--header", "connection: close"]);
    let mut swaps = 0;
    while kept.try_wait().unwrap().is_none() {
        if swaps == 1 {
            // A broken one in between leaves the old one in use.
            fs::write(&files.key, "no key").unwrap();
            fixture.gatepost.await_log("certificates are not taken over").await;
        }
        swaps += 1;
        authority.issue_as("server", &[NAME], &format!("swap {swaps}"));
        fixture.await_subject(NAME, &format!("CN = swap {swaps}")).await;
    }
    assert!(swaps >= 2, "{swaps}");
    assert_eq!(connections_of(kept), 1, "one connection outlives the certificates");
    assert_eq!(connections_of(fresh), REQUESTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_without_a_handshake_are_counted_and_closed_and_others_are_served() {
    raise_open_files_limit();
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue("server", &[NAME]);
    let upstream = MockServer::start();
    let secure = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let toml = format!(
        "[[gateway.route]]\nauth = \"off\"\n[[gateway.listener]]\naddress = \"{secure}\"\n\
         tls_handshake_timeout_ms = 10000\n[gateway.listener.tls]\ncertificates = [{}]\n",
        files.toml()
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let mut silent = Vec::with_capacity(SILENT);
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(secure).await.unwrap());
    }
    let outcome = |outcome: &str| format!("gatepost_tls_handshakes_total{{outcome=\"{outcome}\"}}");
    let cap = "gatepost_refused_connections_total{reason=\"too-many-of-address\"}";
    gatepost.await_metric(cap, 1000.0).await;
    let url = format!("https://{NAME}:{}/", secure.port());
    let resolve = format!("{NAME}:{}:127.0.0.1", secure.port());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "--interface", "127.0.0.2"]);
    let served = curl.arg("--cacert").arg(&authority.ca_file).args(["--resolve", &resolve, &url]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&served.stdout), "200", "{}", String::from_utf8_lossy(&served.stderr));
    let ended = async {
        for mut stream in silent {
            // A reset is a way to close as well.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("all are closed");
    gatepost.await_metric(&outcome("timeout"), 2000.0).await;
    gatepost.await_metric("gatepost_connections", 0.0).await;
    assert!(gatepost.log().len() < 100, "they are counted, not logged: {:?}", gatepost.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_versions_and_ciphers_without_known_weaknesses_are_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue("server", &[NAME]);
    let fixture = Fixture::start(directory, &format!("certificates = [{}]", files.toml())).await;
    for version in ["-tls1", "-tls1_1"] {
        let printed = fixture.s_client(&[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(printed.contains("no peer certificate available") && printed.contains("SSL alert"), "{printed}");
    }
    let mut testssl = Command::new("testssl");
    testssl.args(["--warnings", "off", "--color", "0", "--quiet", "--sneaky"]);
    // Protocols, categories of ciphers, renegotiation, Heartbleed, and compression.
    testssl.args(["-p", "-s", "-R", "-H", "-C", &fixture.secure.to_string()]).stdin(Stdio::null());
    let output = testssl.output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let rating = |subject: &str| {
        let line = report.lines().find_map(|line| line.trim_start().strip_prefix(subject));
        line.unwrap_or_else(|| panic!("{subject} is not in {report}")).trim()
    };
    for (subject, expected) in [
        ("SSLv2 ", "not offered (OK)"),
        ("SSLv3 ", "not offered (OK)"),
        ("TLS 1 ", "not offered"),
        ("TLS 1.1 ", "not offered"),
        ("TLS 1.2 ", "offered (OK)"),
        ("TLS 1.3 ", "offered (OK)"),
        ("NULL ciphers", "not offered (OK)"),
        ("Anonymous NULL Ciphers", "not offered (OK)"),
        ("Export ciphers", "not offered (OK)"),
        ("LOW: 64 Bit", "not offered (OK)"),
        ("Triple DES", "not offered"),
        ("Obsolete CBC ciphers", "not offered"),
        ("Strong encryption", "offered (OK)"),
        ("Heartbleed", "not vulnerable (OK)"),
        ("Secure Renegotiation", "supported (OK)"),
        ("Secure Client-Initiated Renegotiation", "not vulnerable (OK)"),
        ("CRIME, TLS", "not vulnerable (OK)"),
    ] {
        let found = rating(subject);
        let after = |text: &str| found.split_once(text).is_some_and(|(before, _)| !before.ends_with("not "));
        assert!(after(expected), "{subject}: {found}");
    }
    assert!(!report.contains("NOT ok") && !report.contains("VULNERABLE"), "{report}");
}

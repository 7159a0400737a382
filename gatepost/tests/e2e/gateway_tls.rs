//! HTTPS of the gateway, with curl and OpenSSL as clients.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use gatepost_test_support::{MockServer, free_port};
use rcgen::date_time_ymd;
use tempfile::TempDir;

use crate::admin::Admin;
use crate::certificates::{Authority, Files};
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;

/// Longest time until changed files are in use.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(10);

/// A gateway with a plain listener and one with TLS, in front of an upstream that records requests.
pub(crate) struct Fixture {
    pub(crate) upstream: MockServer,
    pub(crate) gatepost: Gatepost,
    pub(crate) secure: SocketAddr,
    pub(crate) key: String,
    /// Removed at the end.
    _directory: TempDir,
}

impl Fixture {
    /// Starts a gateway whose TLS table has these lines.
    pub(crate) async fn start(directory: TempDir, tls: &str) -> Self {
        let upstream = MockServer::start();
        let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
        fs::write(directory.path().join("gatepost.toml"), configuration(secure, tls)).unwrap();
        let gatepost = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let project = admin.create_project().await;
        let (key, _) = admin.create_api_key(&project).await;
        Self { upstream, gatepost, secure, key, _directory: directory }
    }

    /// Sends a request with curl, which resolves the name to the listener.
    fn curl(&self, name: &str, arguments: &[&str]) -> Output {
        let port = self.secure.port();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--include"]);
        command.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
        command.args(["--header", &format!("authorization: Bearer {}", self.key)]);
        command.args(arguments).arg(format!("https://{name}:{port}/v1"));
        command.output().unwrap()
    }

    /// Shakes hands with OpenSSL's client, sends nothing, and returns what it prints.
    pub(crate) fn s_client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.secure.to_string()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Returns the subject of the certificate that is shown to a client that asks for a name.
    fn subject(&self, name: &str) -> String {
        let printed = self.s_client(&["-servername", name]);
        let subject = printed.lines().find_map(|line| line.strip_prefix("subject="));
        subject.unwrap_or_else(|| panic!("no certificate for {name}: {printed}")).trim().to_owned()
    }

    /// Waits until a name is shown with another subject.
    pub(crate) async fn await_subject(&self, name: &str, subject: &str) {
        let waiting = async {
            while self.subject(name) != subject {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let waited = tokio::time::timeout(TAKE_OVER_DEADLINE, waiting).await;
        assert!(waited.is_ok(), "{name} is still shown with {}: {:?}", self.subject(name), self.gatepost.log());
    }
}

fn configuration(secure: SocketAddr, tls: &str) -> String {
    format!("[[gateway.listener]]\nname = \"secure\"\naddress = \"{secure}\"\n[gateway.listener.tls]\n{tls}\n")
}

fn status(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    line.split(' ').nth(1).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_serves_what_http_serves() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue("server", &["api.example.com"]);
    let ca = authority.ca_file.display().to_string();
    let fixture = Fixture::start(directory, &format!("certificates = [{}]", files.toml())).await;
    assert_eq!(status(&fixture.curl("api.example.com", &["--cacert", &ca])), "200");
    let secure = fixture.upstream.take_requests();
    assert_eq!(crate::test_cluster::get_status(&fixture.gatepost.url("/v1"), &fixture.key).await, 200);
    let plain = fixture.upstream.take_requests();
    let schemes = [&secure[0], &plain[0]].map(|request| request.header("x-forwarded-proto"));
    assert_eq!(schemes, [["https"], ["http"]]);
    assert_eq!(secure[0].request_line(), plain[0].request_line());
    assert_eq!(status(&fixture.curl("api.example.com", &["--cacert", &ca, "-H", "authorization: Bearer x"])), "401");
    let log = fixture.gatepost.log().join("\n");
    assert!(log.contains("\"tls_version\":\"1.3\",\"sni\":\"api.example.com\""), "{log}");

    let untrusted = fixture.curl("api.example.com", &[]);
    assert!(!untrusted.status.success(), "curl trusts an unknown authority");
    for (versions, is_served) in [("1.1", false), ("1.2", true), ("1.3", true)] {
        let arguments = ["--cacert", &ca, &format!("--tlsv{versions}"), "--tls-max", versions];
        assert_eq!(fixture.curl("api.example.com", &arguments).status.success(), is_served, "TLS {versions}");
    }
    assert!(fixture.gatepost.metric("gatepost_tls_handshakes_total{outcome=\"ok\"}").await >= 4.0);
    assert!(fixture.gatepost.metric("gatepost_tls_handshakes_total{outcome=\"failed\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_gets_its_certificate_and_an_unknown_one_the_first_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let first = authority.issue_as("first", &["first.example.com"], "first");
    let second = authority.issue_as("second", &["second.example.com", "*.wild.example.com"], "second");
    let certificates = format!("certificates = [{}, {}]", first.toml(), second.toml());
    let fixture = Fixture::start(directory, &certificates).await;
    for (name, subject) in [
        ("first.example.com", "CN = first"),
        ("second.example.com", "CN = second"),
        ("SECOND.example.com", "CN = second"),
        ("a.wild.example.com", "CN = second"),
        ("a.b.wild.example.com", "CN = first"),
        ("wild.example.com", "CN = first"),
        ("unknown.example.com", "CN = first"),
    ] {
        assert_eq!(fixture.subject(name), subject, "{name}");
    }
    assert!(fixture.s_client(&["-noservername"]).contains("CN = first"));

    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let only = authority.issue_as("only", &["only.example.com"], "only");
    let tls = format!("certificates = [{}]\nunknown_name = \"refuse\"\nmin_version = \"1.3\"", only.toml());
    let fixture = Fixture::start(directory, &tls).await;
    assert_eq!(fixture.subject("only.example.com"), "CN = only");
    let refused = fixture.s_client(&["-servername", "other.example.com"]);
    assert!(refused.contains("unrecognized name"), "{refused}");
    let refused = fixture.s_client(&["-servername", "only.example.com", "-tls1_2"]);
    assert!(refused.contains("alert protocol version"), "{refused}");
    assert_eq!(fixture.gatepost.metric("gatepost_tls_handshakes_total{outcome=\"unknown_name\"}").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_taken_over_and_broken_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue_as("server", &["api.example.com"], "old");
    let fixture = Fixture::start(directory, &format!("certificates = [{}]", files.toml())).await;
    assert_eq!(fixture.subject("api.example.com"), "CN = old");
    authority.issue_as("server", &["api.example.com"], "new");
    fixture.await_subject("api.example.com", "CN = new").await;

    // A key of another certificate.
    let other = authority.issue_as("other", &["api.example.com"], "other");
    let faulty = "gatepost_certificate_files_faulty{listener=\"secure\"}";
    fs::copy(&other.key, &files.key).unwrap();
    fixture.gatepost.await_log("certificates are not taken over").await;
    assert_eq!(fixture.gatepost.metric(faulty).await, 1.0);
    let warning = "the changed certificates of listener secure are not in use: ";
    fixture.gatepost.await_readiness(|report| report.contains(warning) && report.contains("is not the key of")).await;
    assert_eq!(fixture.subject("api.example.com"), "CN = new");
    fs::copy(&other.cert, &files.cert).unwrap();
    fixture.await_subject("api.example.com", "CN = other").await;
    assert_eq!(fixture.gatepost.metric(faulty).await, 0.0);
    fixture.gatepost.await_readiness(|report| !report.contains(warning)).await;

    fs::write(&files.cert, "no certificate").unwrap();
    fixture.gatepost.await_log("has no certificate").await;
    fs::remove_file(&files.cert).unwrap();
    fixture.gatepost.await_log("cannot be read: no such file").await;
    assert_eq!(fixture.subject("api.example.com"), "CN = other");
    let expiry = "gatepost_certificate_expiry_timestamp_seconds{listener=\"secure\",name=\"api.example.com\"}";
    assert!(fixture.gatepost.metric(expiry).await > 1_000_000_000.0);
    authority.issue_as("server", &["renamed.example.com"], "renamed");
    fixture.await_subject("renamed.example.com", "CN = renamed").await;
    let metrics = fixture.gatepost.metrics().await;
    assert!(metrics.contains("name=\"renamed.example.com\"") && !metrics.contains(expiry), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_required_checked_and_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let (clients, strangers) =
        (Authority::create(directory.path(), "clients"), Authority::create(directory.path(), "strangers"));
    let server = authority.issue("server", &["api.example.com"]);
    let (client, stranger) = (clients.issue("client", &[]), strangers.issue("stranger", &[]));
    let ca = authority.ca_file.display().to_string();
    let tls = format!("certificates = [{}]\nclient_ca = {:?}", server.toml(), clients.ca_file.display().to_string());
    let session = directory.path().join("session").display().to_string();
    let fixture = Fixture::start(directory, &tls).await;
    let with = |files: &Files| {
        let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
        fixture.curl("api.example.com", &["--cacert", &ca, "--cert", &cert, "--key", &key])
    };
    assert!(!fixture.curl("api.example.com", &["--cacert", &ca]).status.success(), "no certificate");
    assert!(!with(&stranger).status.success(), "a stranger's certificate");
    fixture.upstream.take_requests();
    assert_eq!(status(&with(&client)), "200");
    let requests = fixture.upstream.take_requests();
    assert_eq!(requests[0].header("x-gatepost-client-cert-sha256"), [fingerprint(&client.cert)]);

    // A resumed session does not outlive the authority of its certificate.
    let (cert, key) = (client.cert.display().to_string(), client.key.display().to_string());
    let resume = |direction: &str| {
        let arguments = ["-cert", &cert, "-key", &key, "-tls1_2", direction, &session];
        fixture.s_client(&arguments)
    };
    assert!(resume("-sess_out").contains("New, TLSv1.2"));
    assert!(resume("-sess_in").contains("Reused, TLSv1.2"));
    fs::copy(&strangers.ca_file, &clients.ca_file).unwrap();
    let waiting = async {
        while status_or_none(&with(&stranger)).is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(TAKE_OVER_DEADLINE, waiting).await.unwrap();
    assert!(!resume("-sess_in").contains("Reused"));
    assert!(!with(&client).status.success(), "its authority is trusted no more");
}

fn status_or_none(output: &Output) -> Option<String> {
    output.status.success().then(|| status(output))
}

/// Returns the SHA-256 of a certificate as OpenSSL calculates it, in lower-case hex.
fn fingerprint(cert: &Path) -> String {
    let output = Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(cert).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_does_not_shake_hands_is_closed_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue("server", &["api.example.com"]);
    let ca = authority.ca_file.display().to_string();
    let tls = format!("certificates = [{}]", files.toml());
    let directory_path = directory.path().to_owned();
    let upstream = MockServer::start();
    let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let toml = configuration(secure, &tls)
        .replace("[gateway.listener.tls]", "tls_handshake_timeout_ms = 300\n[gateway.listener.tls]");
    fs::write(directory_path.join("gatepost.toml"), toml).unwrap();
    let gatepost = Gatepost::start(&directory_path, &["up", "--upstream", &upstream.url()]).await;
    let silent = std::net::TcpStream::connect(secure).unwrap();
    let mut garbage = std::net::TcpStream::connect(secure).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    for (mut stream, outcome) in [(garbage, "failed"), (silent, "timeout")] {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut received = Vec::new();
        // Closed, perhaps after an alert; a reset is a way to close as well.
        let _ = std::io::Read::read_to_end(&mut stream, &mut received);
        assert!(!received.starts_with(b"HTTP"), "{outcome}");
        let name = format!("gatepost_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        assert_eq!(gatepost.metric(&name).await, 1.0, "{outcome}");
    }
    let resolve = format!("api.example.com:{}:127.0.0.1", secure.port());
    let url = format!("https://api.example.com:{}/", secure.port());
    let served = Command::new("curl").args(["-sSi", "--cacert", &ca, "--resolve", &resolve, &url]).output().unwrap();
    assert_eq!(status(&served), "401");
}

#[test]
fn faults_of_certificates_are_reported_together_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let (one, other) = (authority.issue("one", &["a.example.com"]), authority.issue("other", &["b.example.com"]));
    let mixed = Files { cert: one.cert.clone(), key: other.key.clone() };
    let expired = authority.issue_with("expired", &["c.example.com"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let missing = Files { cert: directory.path().join("missing.pem"), key: one.key.clone() };
    let tls = format!("certificates = [{}, {}, {}]", mixed.toml(), expired.toml(), missing.toml());
    let upstream = "[gateway.upstream.secure]\nservers = [\"127.0.0.1:1\"]\n[gateway.upstream.secure.tls]\n";
    let [cert, key] = [&one.cert, &other.key].map(|file| file.display().to_string());
    let upstream = format!("{upstream}name = \"not a name\"\nca = \"no-ca.pem\"\ncert = {cert:?}\nkey = {key:?}\n");
    let toml = configuration(([127, 0, 0, 1], 8443).into(), &tls) + &upstream;
    let line = toml.lines().position(|line| line.contains("secure.tls")).unwrap() + 1;
    let of_upstream = format!("gatepost.toml:{line}: gateway.upstream.secure.tls: ");
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    for command in ["check", "up"] {
        let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let output = run(directory.path(), &[&[command, "--upstream", "http://127.0.0.1:1"], &listen[..]].concat());
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        for fault in [
            "other.key: is not the key of",
            "expired.pem: expired at 2021-01-01",
            "missing.pem: cannot be read: no such file",
            &format!("{of_upstream}\"not a name\" is not a DNS name or an address"),
            &format!("{of_upstream}no-ca.pem: cannot be read"),
            &format!("{of_upstream}{key}: is not the key of {cert}"),
        ] {
            assert!(printed.contains(fault), "{command} does not print {fault:?}: {printed}");
        }
        assert_eq!(printed.matches("gatepost.toml:1: ").count(), 3, "{printed}");
    }
}

#[test]
fn a_check_reports_faults_of_the_configuration_of_files_and_of_names_together() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let (one, other) = (authority.issue("one", &["a.example.com"]), authority.issue("other", &["b.example.com"]));
    let mixed = Files { cert: one.cert.clone(), key: other.key.clone() };
    let address = ([127, 0, 0, 1], 8443).into();
    let good = "[gateway.upstream.app]\nservers = [\n  \"server.invalid:80\",\n]\n";
    let toml = configuration(address, &format!("certificates = [{}]", mixed.toml()));
    let check = |text: &str| {
        fs::write(directory.path().join("gatepost.toml"), text).unwrap();
        let output = run(directory.path(), &["check"]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let printed = check(&format!("{toml}unknown_name = \"none\"\n{good}"));
    for fault in ["gatepost.toml:6: gateway.listener.tls.unknown_name: must be", "other.key: is not the key of"] {
        assert!(printed.contains(fault), "{fault:?} is not in {printed}");
    }
    for certificates in ["certificates = []".to_owned(), format!("certificates = [{{ cert = {:?} }}]", one.cert)] {
        let printed = check(&format!("{}{good}", configuration(address, &certificates)));
        assert!(printed.starts_with("gatepost: gatepost.toml:") && !printed.contains("panicked"), "{printed}");
    }
    let printed = check(&format!("{toml}{good}"));
    for fault in ["gatepost.toml:7: upstream app: cannot resolve server.invalid:80: ", "other.key: is not the key of"] {
        assert!(printed.contains(fault), "{fault:?} is not in {printed}");
    }
}

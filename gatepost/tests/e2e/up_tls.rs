//! HTTPS of `gatepost up` by flags, with curl as its client.

use std::fs;
use std::path::Path;
use std::process::Command;

use gatepost_test_support::{MockServer, free_port};

use crate::certificates::Authority;
use crate::process::{Gatepost, run};

/// Sends a request over HTTPS to an address of the gateway. Returns its status, or what curl says is wrong.
fn curl(gatepost: &Gatepost, host: &str, ca: &Path) -> String {
    let port = gatepost.gateway.unwrap().port();
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "10", "--noproxy", "*", "-o", "/dev/null", "--write-out", "%{http_code}"]);
    command.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]).arg("--cacert").arg(ca);
    let output = command.arg(format!("https://{host}:{port}/")).output().unwrap();
    let printed = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8(printed).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_flags_is_served_and_taken_over_when_it_changes() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let authority = Authority::create(directory.path(), "ca");
    let files = authority.issue("server", &["api.example.com"]);
    let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
    let arguments = ["up", "--upstream", &upstream.url(), "--tls-cert", &cert, "--tls-key", &key];
    let gatepost = Gatepost::start(directory.path(), &arguments).await;
    assert_eq!(curl(&gatepost, "api.example.com", &authority.ca_file), "401");
    assert!(curl(&gatepost, "other.example.com", &authority.ca_file).contains("curl: (60)"));
    authority.issue("server", &["other.example.com"]);
    gatepost.await_log("certificates were taken over").await;
    assert_eq!(curl(&gatepost, "other.example.com", &authority.ca_file), "401");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_for_loopback_says_so_and_survives_a_restart() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let arguments = ["up", "--upstream", &upstream.url(), "--tls-self-signed"];
    let cert = directory.path().join("gatepost-data/self-signed.crt");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut gatepost = Gatepost::start(directory.path(), &arguments).await;
        seen.push(fs::read_to_string(&cert).unwrap());
        for host in ["localhost", "127.0.0.1"] {
            assert_eq!(curl(&gatepost, host, &cert), "401", "{host}");
        }
        assert!(curl(&gatepost, "api.example.com", &cert).contains("curl: (60)"));
        let warning = "certificate is self-signed, for localhost and loopback addresses";
        gatepost.await_log(warning).await;
        let (_, report) = gatepost.readiness().await;
        assert!(report.contains(warning) && report.contains("self-signed.crt"), "{report}");
        assert_eq!(gatepost.terminate(), Some(0));
    }
    assert_eq!(seen[0], seen[1], "a restart shows the same one");
}

#[test]
fn certificates_that_cannot_be_meant_are_usage_errors() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::create(directory.path(), "ca");
    let (one, other) = (authority.issue("one", &["a.example.com"]), authority.issue("other", &["b.example.com"]));
    let [cert, key, foreign] = [&one.cert, &one.key, &other.key].map(|file| file.display().to_string());
    let memory = ["--tls-self-signed", "--store", "embedded::memory:"];
    let fails = |arguments: &[&str], code: i32, error: &str| {
        let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let arguments = [&["up", "--upstream", "http://127.0.0.1:1"], &ports[..], arguments].concat();
        let output = run(directory.path(), &arguments);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains(error), "{error:?} is not in {printed}");
        assert_eq!(output.status.code(), Some(code), "{printed}");
    };
    fails(&["--tls-cert", &cert], 1, "--tls-cert: gateway.tls_cert: needs tls_key");
    fails(&["--tls-key", &key], 1, "--tls-key: gateway.tls_key: needs tls_cert");
    fails(&["--tls-cert", &cert, "--tls-key", &foreign], 1, "--tls-cert: ");
    fails(&["--tls-cert", &cert, "--tls-key", &foreign], 1, "other.key: is not the key of");
    fails(&["--tls-cert", &cert, "--tls-key", &key, "--tls-self-signed"], 2, "use either --tls-self-signed or");
    fails(&memory, 2, "--tls-self-signed keeps its certificate in the directory of an embedded store");
    let address = format!("127.0.0.1:{}", free_port());
    fs::write(directory.path().join("gatepost.toml"), format!("[[gateway.listener]]\naddress = {address:?}\n"))
        .unwrap();
    let output = run(directory.path(), &["check", "--offline", "--tls-cert", &cert, "--tls-key", &key]);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.contains("--tls-cert: gateway.tls_cert: is for the address of listen, which is not set"),
        "{printed}"
    );
}

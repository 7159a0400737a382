//! The gateway behind a load balancer of layer 4: HAProxy, and curl as one that sends the header by itself.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

use gatepost_test_support::{MockServer, ReverseProxy, free_port};

use crate::admin::Admin;
use crate::certificates::Authority;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

/// Address of the load balancer, which the gateway trusts. Its clients have others.
const BALANCER: &str = "127.0.0.1";
const CLIENT: &str = "127.0.0.2";
const DENIED_CLIENT: &str = "127.0.0.3";

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// Forwards connections of an address to a listener of the gateway, with a header in front.
fn balance(name: &str, from: SocketAddr, to: SocketAddr, options: &str) -> String {
    format!(
        "frontend {name}\n  mode tcp\n  bind {from}\n  default_backend {name}-gateway\n\
         backend {name}-gateway\n  mode tcp\n  server gateway {to} {options}\n"
    )
}

fn curl(arguments: &[&str], url: &str) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code}"]).args(arguments).arg(url).output().unwrap()
}

fn status(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_haproxy_are_known_by_their_own_address() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let authority = Authority::create(directory.path(), "ca");
    let certificate = authority.issue("server", &["api.example.com"]).toml();
    let ca = authority.ca_file.display().to_string();
    let (plain, secure) = (free_address(), free_address());
    let toml = format!(
        "[gateway]\ntrusted_proxies = [\"{BALANCER}/32\"]\n\
         [[gateway.route]]\ndeny = [\"{DENIED_CLIENT}/32\"]\n\
         [[gateway.listener]]\nname = \"plain\"\naddress = \"{plain}\"\nproxy_protocol = \"required\"\n\
         [[gateway.listener]]\nname = \"secure\"\naddress = \"{secure}\"\nproxy_protocol = \"required\"\n\
         [gateway.listener.tls]\ncertificates = [{certificate}]\n"
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let bearer = format!("authorization: Bearer {key}");

    let (version_1, version_2, over_tls) = (free_address(), free_address(), free_address());
    let _haproxy = ReverseProxy::haproxy(
        &[
            balance("one", version_1, plain, "send-proxy check check-send-proxy inter 100ms"),
            balance("two", version_2, plain, "send-proxy-v2 proxy-v2-options unique-id,crc32c"),
            balance("tls", over_tls, secure, "send-proxy-v2"),
        ]
        .concat(),
    );
    let resolve = format!("api.example.com:{}:127.0.0.1", over_tls.port());
    for url in [
        format!("http://{version_1}/v1"),
        format!("http://{version_2}/v1"),
        format!("https://api.example.com:{}/v1", over_tls.port()),
    ] {
        let from = |client: &str| {
            let forged = "x-forwarded-for: 192.0.2.9";
            let arguments =
                ["--cacert", &ca, "--resolve", &resolve, "-H", &bearer, "-H", forged, "--interface", client];
            curl(&arguments, &url)
        };
        let served = from(CLIENT);
        assert_eq!(status(&served), "200", "{url}: {}", String::from_utf8_lossy(&served.stderr));
        assert_eq!(upstream.take_requests()[0].header("x-forwarded-for"), [CLIENT], "{url}");
        assert_eq!(status(&from(DENIED_CLIENT)), "403", "{url}");
    }
    gatepost.await_log(&format!("\"client\":\"{DENIED_CLIENT}\"")).await;
    assert!(gatepost.log().iter().any(|line| line.contains(&format!("\"client\":\"{CLIENT}\""))));

    // curl names itself, or speaks HTTP at once.
    let direct = format!("http://{plain}/v1");
    let named = ["-H", bearer.as_str(), "--haproxy-protocol", "--interface", BALANCER];
    assert_eq!(status(&curl(&named, &direct)), "200");
    for refused in [&["--interface", BALANCER][..], &["--haproxy-protocol", "--interface", CLIENT]] {
        assert!(!curl(refused, &direct).status.success(), "{refused:?}");
    }
    let outcome = |outcome: &str| format!("gatepost_proxy_protocol_connections_total{{outcome=\"{outcome}\"}}");
    assert_eq!(gatepost.metric(&outcome("untrusted")).await, 1.0);
    assert_eq!(gatepost.metric(&outcome("malformed")).await, 1.0);
    let warnings = gatepost.log().iter().filter(|line| line.contains("PROXY")).count();
    assert_eq!(warnings, 0, "they are counted, not logged: {:?}", gatepost.log());
}

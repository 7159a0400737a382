//! `Host` header: names under which the admin API and the operations server respond, and protection against DNS
//! rebinding.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use gatepost_test_support::{Page, RedisServer, ReverseProxy, browse};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::admin::{client, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost};
use crate::test_cluster::DEADLINE;

type Settings = &'static [(&'static str, &'static str)];

const LISTED: Settings = &[("GATEPOST_CONTROL_PLANE__HOSTS", "keys.example"), ("GATEPOST_OPS__HOSTS", "keys.example")];
const BEHIND_PROXY: Settings = &[("GATEPOST_CONTROL_PLANE__BEHIND_TLS_PROXY", "true")];
const BEHIND_PROXY_AND_LISTED: Settings = &[BEHIND_PROXY[0], LISTED[0], LISTED[1]];

/// Error for a name that is not listed.
const ADMIN_REFUSAL: &str = "this listener does not know the name in the Host field: list it in control_plane.hosts, or \
                             set control_plane.behind_tls_proxy = true if a proxy is in front";
const OPS_REFUSAL: &str = "this listener does not know the name in the Host field: list it in ops.hosts\n";

/// Control plane with its own store.
struct TestControlPlane {
    process: Gatepost,
    access_key: String,
    _redis: RedisServer,
}

impl TestControlPlane {
    async fn on_loopback(settings: Settings) -> Self {
        let (redis, access_key) = start_store();
        let (url, directory) = (redis.url(), EMPTY_DIRECTORY.as_ref());
        let process = Gatepost::start_with(directory, &["control-plane", "--store", &url], settings).await;
        Self { process, access_key, _redis: redis }
    }

    async fn on_all_interfaces(settings: Settings) -> Self {
        let (redis, access_key) = start_store();
        let url = redis.url();
        let process = Gatepost::start_on_all_interfaces(&["control-plane", "--store", &url], settings).await;
        assert!(process.ops.ip().is_unspecified() && process.admin().ip().is_unspecified());
        Self { process, access_key, _redis: redis }
    }
}

fn start_store() -> (RedisServer, String) {
    let redis = RedisServer::start();
    let access_key = create_access_key(&redis.url());
    (redis, access_key)
}

impl Gatepost {
    fn admin(&self) -> SocketAddr {
        self.admin.unwrap()
    }
}

/// Sends a request with the given head, and returns status and body.
async fn exchange(address: SocketAddr, head: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut response = String::new();
    let reading = stream.read_to_string(&mut response);
    tokio::time::timeout(DEADLINE, reading).await.expect("the request gets no response").unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str, host: &str) -> (u16, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}")).await
}

async fn get_status(address: SocketAddr, path: &str, host: &str) -> u16 {
    get(address, path, host).await.0
}

/// Checks that a name is rejected with an error that says which setting is missing.
async fn check_rejected(address: SocketAddr, path: &str, host: &str, refusal: &str) {
    let (status, body) = get(address, path, host).await;
    let detail = serde_json::from_str::<Value>(&body).map_or(body, |body| body["detail"].as_str().unwrap().to_owned());
    assert_eq!((status, detail.as_str()), (421, refusal), "{path} of {host}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_names_are_rejected_on_loopback() {
    for (settings, host, admin, ops) in [
        (&[][..], "evil.example", 421, 421),
        (&[], "app.localhost:1234", 200, 200),
        (LISTED, "Keys.Example", 200, 200),
        (LISTED, "evil.example", 421, 421),
        (BEHIND_PROXY, "evil.example", 200, 421),
        (BEHIND_PROXY_AND_LISTED, "evil.example", 421, 421),
    ] {
        let process = TestControlPlane::on_loopback(settings).await.process;
        let responses = (get_status(process.admin(), "/", host).await, get_status(process.ops, "/metrics", host).await);
        assert_eq!(responses, (admin, ops), "{host} with {settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_requires_one_well_formed_host_except_with_http_1_0() {
    let process = TestControlPlane::on_loopback(&[]).await.process;
    let pages = [(process.admin(), "/"), (process.ops, "/metrics"), (process.ops, "/livez"), (process.ops, "/readyz")];
    for (address, path) in pages {
        for (rest, expected) in [
            (" HTTP/1.1\r\nHost: 127.0.0.1", 200),
            (" HTTP/1.0", 200),
            (" HTTP/1.0\r\nHost: localhost", 200),
            (" HTTP/1.1", 400),
            (" HTTP/1.1\r\nHost:", 400),
            (" HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
            (" HTTP/1.0\r\nHost: localhost\r\nHost: localhost", 400),
            (" HTTP/1.1\r\nHost: local host", 400),
            (" HTTP/1.1\r\nHost: user@localhost", 400),
        ] {
            let (status, body) = exchange(address, &format!("GET {path}{rest}")).await;
            assert_eq!(status, expected, "{path}{rest}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_asterisk_and_an_empty_line_are_checked_like_every_request() {
    let process = TestControlPlane::on_loopback(&[]).await.process;
    for (address, path) in [(process.admin(), "/"), (process.ops, "/metrics"), (process.ops, "/livez")] {
        for (head, expected) in [
            ("OPTIONS * HTTP/1.1\r\nHost: localhost".to_owned(), 404),
            ("OPTIONS * HTTP/1.0".to_owned(), 404),
            ("OPTIONS * HTTP/1.1".to_owned(), 400),
            ("OPTIONS * HTTP/1.1\r\nHost: evil.example".to_owned(), 421),
            (format!("\r\nGET {path} HTTP/1.1\r\nHost: localhost"), 200),
        ] {
            let (status, body) = exchange(address, &head).await;
            assert_eq!(status, expected, "{head}: {body}");
        }
    }
}

/// A kubelet sends the address of the pod, or the name in `httpHeaders` of the probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelet_probes_by_address_and_by_any_name() {
    for control_plane in [
        TestControlPlane::on_loopback(LISTED).await,
        TestControlPlane::on_all_interfaces(BEHIND_PROXY_AND_LISTED).await,
    ] {
        let ops = control_plane.process.ops;
        for host in ["10.1.2.3:9464", "[fd00::1:2]:9464", "keys.example", "probe.example", "gatepost-7d4b9c6f5-x2x7k"] {
            for path in ["/livez", "/readyz"] {
                let probe =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*");
                let (status, body) = exchange(ops, &probe).await;
                assert_eq!(status, 200, "{path} of {host}: {body}");
            }
        }
        check_rejected(ops, "/metrics", "probe.example", OPS_REFUSAL).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_by_pod_address_is_served_next_to_listed_names() {
    let ops = TestControlPlane::on_all_interfaces(BEHIND_PROXY_AND_LISTED).await.process;
    for host in ["10.1.2.3:9464", "[fd00::1:2]:9464", "keys.example:9464"] {
        let (status, page) = get(ops.ops, "/metrics", host).await;
        assert_eq!(status, 200, "{host}: {page}");
        assert!(page.contains("\ngatepost_build_info{"), "{page}");
    }
    check_rejected(ops.ops, "/metrics", "10.1.2.3.evil.example:9464", OPS_REFUSAL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compose_service_is_reachable_by_name_without_a_setting() {
    let process = TestControlPlane::on_all_interfaces(BEHIND_PROXY).await.process;
    assert_eq!(get_status(process.admin(), "/", "gatepost:8082").await, 200);
    assert_eq!(get_status(process.ops, "/metrics", "gatepost:9464").await, 200);
    let alone = TestControlPlane::on_loopback(&[]).await.process;
    check_rejected(alone.admin(), "/", "gatepost:8082", ADMIN_REFUSAL).await;
    check_rejected(alone.ops, "/metrics", "gatepost:9464", OPS_REFUSAL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nginx_that_forwards_the_host_needs_one_setting_which_the_error_names() {
    for (settings, host, expected) in [
        (BEHIND_PROXY, "keys.example", 200),
        (LISTED, "keys.example", 200),
        (&[], "keys.example", 421),
        (LISTED, "other.example", 421),
    ] {
        let control_plane = TestControlPlane::on_loopback(settings).await;
        let nginx = ReverseProxy::nginx(control_plane.process.admin(), "proxy_set_header Host $host;");
        let request = format!("GET /projects HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {}", control_plane.access_key);
        let (status, body) = exchange(nginx.address(), &request).await;
        assert_eq!(status, expected, "{host} with {settings:?}: {body}");
        if expected == 421 {
            check_rejected(nginx.address(), "/projects", host, ADMIN_REFUSAL).await;
        }
    }
}

/// Waits until HAProxy has checked all servers, and returns each backend with its state and the status code of its last
/// check.
async fn await_health_checks(proxy: &ReverseProxy) -> Vec<(String, String, String)> {
    let polling = async {
        loop {
            let table = client().get(format!("http://{}/;csv", proxy.address())).send().await.unwrap();
            let table = table.text().await.unwrap();
            let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
            let column = |name| lines[0].iter().position(|found| *found == name).unwrap();
            let (state, check, code) = (column("status"), column("check_status"), column("check_code"));
            let servers = || lines.iter().filter(|line| line.get(1) == Some(&"gatepost"));
            // While a check is in progress, its status begins with an asterisk and its code may be 0.
            if servers().all(|line| line[check].starts_with("L7")) {
                let row = |line: &Vec<&str>| [line[0], line[state], line[code]].map(str::to_owned).into();
                return servers().map(row).collect();
            }
        }
    };
    tokio::time::timeout(DEADLINE, polling).await.expect("the servers are checked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_checks_succeed_with_http_1_0_without_a_host() {
    let process = TestControlPlane::on_loopback(&[]).await.process;
    let backend = |name: &str, check: &str, server: SocketAddr| {
        format!("backend {name}\n  {check}\n  server gatepost {server} check inter 200ms rise 1 fall 1\n")
    };
    let named =
        |path: &str| format!("option httpchk\n  http-check send meth GET uri {path} ver HTTP/1.1 hdr Host lb.example");
    let (admin, ops) = (process.admin(), process.ops);
    let proxy = ReverseProxy::haproxy(
        &[
            // The default method is OPTIONS and the default path is `/`.
            backend("admin", "option httpchk", admin),
            backend("livez", "option httpchk /livez", ops),
            backend("readyz", "option httpchk GET /readyz", ops),
            backend("named-admin", &named("/"), admin),
            backend("named-livez", &named("/livez"), ops),
            backend("named-metrics", &named("/metrics"), ops),
        ]
        .concat(),
    );
    let expected = [
        ("admin", "UP", "204"),
        ("livez", "UP", "200"),
        ("readyz", "UP", "200"),
        ("named-admin", "DOWN", "421"),
        ("named-livez", "UP", "200"),
        ("named-metrics", "DOWN", "421"),
    ];
    assert_eq!(
        await_health_checks(&proxy).await,
        expected.map(|(name, state, code)| (name.into(), state.into(), code.into()))
    );
}

/// Starts a server for a rebound name: `/page` is served by the attacker, all other paths are proxied to a listener of
/// ours.
fn start_rebinding_server(target: SocketAddr, page: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let page = page.clone();
            thread::spawn(move || serve_page_or_proxy(stream, target, &page));
        }
    });
    address
}

fn serve_page_or_proxy(mut stream: TcpStream, target: SocketAddr, page: &str) -> std::io::Result<()> {
    let mut start = [0; "GET /page".len()];
    // A browser also opens connections that it never uses.
    while (1..start.len()).contains(&stream.peek(&mut start)?) {}
    if &start == b"GET /page" {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        return std::io::Write::write_all(
            &mut stream,
            format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len()).as_bytes(),
        );
    }
    let server = TcpStream::connect(target)?;
    let (mut from_client, mut to_server) = (stream.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut &server, &mut &stream).map(drop)
}

/// Returns a page that displays what it can read from its own origin.
fn reading_page(paths: &[&str], access_key: &str) -> String {
    format!(
        "<!doctype html><body><script>
const read = async path => {{
  const response = await fetch(path, {{headers: {{'x-api-key': '{access_key}'}}}});
  return path + ' ' + response.status + ' ' + await response.text();
}};
const show = lines => document.body.textContent = 'read:' + lines.join('|') + ':end';
Promise.all({paths:?}.map(read)).then(show, error => show([error]));
</script>"
    )
}

/// Opens the page under a host name in Chromium, and returns its text.
async fn read_in_browser(host: &str, target: SocketAddr, paths: &[&str], access_key: &str) -> String {
    let port = start_rebinding_server(target, reading_page(paths, access_key)).port();
    let (url, rule) = (format!("http://{host}:{port}/page"), format!("--host-resolver-rules=MAP {host} 127.0.0.1"));
    let Page { dom, log } = tokio::task::spawn_blocking(move || browse(&url, &[&rule])).await.unwrap();
    let shown = dom.split_once("read:").and_then(|(_, rest)| rest.split_once(":end"));
    shown.unwrap_or_else(|| panic!("the page shows nothing: {dom} {log}")).0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_a_rebound_name_reads_nothing_but_the_error() {
    let TestControlPlane { process, access_key, _redis } = TestControlPlane::on_loopback(&[]).await;
    let paths = ["/projects", "/openapi.json"];
    let own = read_in_browser("app.localhost", process.admin(), &paths, &access_key).await;
    assert!(own.starts_with("/projects 200 [") && own.contains("|/openapi.json 200 {"), "{own}");
    let read = read_in_browser("evil.example", process.admin(), &paths, &access_key).await;
    let refusals: Vec<(&str, Value)> = read
        .split('|')
        .map(|line| line.split_once(" 421 ").unwrap_or_else(|| panic!("{line}")))
        .map(|(path, problem)| (path, serde_json::from_str(problem).unwrap()))
        .collect();
    assert_eq!(refusals.iter().map(|(path, _)| *path).collect::<Vec<_>>(), paths);
    assert!(refusals.iter().all(|(_, problem)| problem["detail"] == ADMIN_REFUSAL), "{read}");
    let metrics = read_in_browser("evil.example", process.ops, &["/metrics"], "").await;
    assert_eq!(metrics, format!("/metrics 421 {OPS_REFUSAL}"));
}

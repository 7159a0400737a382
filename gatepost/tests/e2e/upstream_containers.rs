//! An upstream container that is replaced by one with another address, as orchestrators do: each in a network of its own,
//! all on one bridge, behind one name.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;

use crate::delivery_faults::name_server::{Answer, NameServer};
use crate::delivery_faults::namespace;
use crate::process::Gatepost;

const TEST: &str = "upstream_containers::a_container_with_another_address_is_found_within_twelve_seconds";
const NAME: &str = "api.internal";
/// Time until requests are served again.
const MOVE_DEADLINE: Duration = Duration::from_secs(12);
/// Limit for one request, as a client has one.
const REQUEST_DEADLINE: Duration = Duration::from_secs(2);
/// Attempts, 20 ms apart, until a container has its network.
const MAX_ATTEMPTS: u32 = 500;

const BRIDGE_SCRIPT: &str = "ip link add bridge type bridge && ip address add 10.77.0.1/24 dev bridge && \
                             ip link set bridge up";
/// Runs in the container: waits for its interface, and serves.
const SERVER_SCRIPT: &str = r#"
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip link set lo up && ip address add "$0/24" dev eth0 && ip link set eth0 up
exec python3 -m http.server --protocol HTTP/1.1 8000
"#;

/// A container that serves HTTP, killed when dropped.
struct Container {
    address: Ipv4Addr,
    process: Child,
}

impl Container {
    fn start(directory: &Path, address: Ipv4Addr) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", SERVER_SCRIPT, &address.to_string()]).current_dir(directory);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        await_network(process.id());
        let interface = format!("to-{}", address.octets()[3]);
        let pid = process.id().to_string();
        run("ip", &["link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        run("ip", &["link", "set", &interface, "master", "bridge", "up"]);
        Self { address, process }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a process has a network of its own.
fn await_network(pid: u32) {
    let network_of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    for _ in 0..MAX_ATTEMPTS {
        if network_of(&pid.to_string()).is_some_and(|network| Some(network) != network_of("self")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the container {pid} has no network");
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

/// Sends requests until one succeeds, and returns how many did not.
async fn await_success(client: &Client, gatepost: &Gatepost) -> usize {
    let mut failed = 0;
    let succeeding = async {
        while !client.get(gatepost.url("/")).send().await.is_ok_and(|response| response.status() == 200) {
            failed += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let succeeded = tokio::time::timeout(MOVE_DEADLINE, succeeding).await;
    assert!(succeeded.is_ok(), "no request succeeded: {}", gatepost.log().join("\n"));
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_with_another_address_is_found_within_twelve_seconds() {
    if !namespace::enter(TEST, &[]) {
        return;
    }
    run("sh", &["-c", BRIDGE_SCRIPT]);
    let (directory, names) = (tempfile::tempdir().unwrap(), NameServer::start());
    let [first, second, third] = [2, 3, 4].map(|host| Ipv4Addr::new(10, 77, 0, host));
    let resolve_to = |address| names.set(NAME, Answer::Addresses(vec![vec![address]]));
    let container = Container::start(directory.path(), first);
    resolve_to(container.address);
    let toml = format!("[[gateway.route]]\nauth = \"off\"\n[gateway.upstream.app]\nservers = [\"{NAME}:8000\"]\n");
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(REQUEST_DEADLINE).build().unwrap();
    await_success(&client, &gatepost).await;

    // Replaced: the old one is gone before the new one has a name.
    drop(container);
    let container = Container::start(directory.path(), second);
    resolve_to(container.address);
    await_success(&client, &gatepost).await;

    // Updated: the new one runs before the old one is gone.
    let other = Container::start(directory.path(), third);
    resolve_to(other.address);
    drop(container);
    await_success(&client, &gatepost).await;

    // The name is unknown for a while: the last address stays in use.
    names.set(NAME, Answer::NoSuchName);
    gatepost.await_log("the name of a server does not resolve").await;
    assert_eq!(await_success(&client, &gatepost).await, 0);
}

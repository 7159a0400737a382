//! The program under systemd: what it reports, and restarts on a socket that systemd holds.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};
use reqwest::Client;
use tokio::task::JoinHandle;

use crate::admin::{Admin, client, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost, MASTER_KEY, command_with_socket, run};
use crate::single_process::read_first_access_key;

/// Limit for a report, and for a request that waits for a restart.
const DEADLINE: Duration = Duration::from_secs(60);
/// Restarts under load.
const RESTARTS: usize = 5;
/// Clients that connect again for each request.
const CLIENTS: usize = 8;

/// Reports that wait for the test.
const MAX_REPORTS: usize = 10_000;

/// A service manager that reads the reports of one process.
struct Manager {
    reports: Receiver<String>,
    name: String,
}

impl Manager {
    fn start(directory: &Path) -> Self {
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, reports) = sync_channel(MAX_REPORTS);
        // It ends with the process of the test: a socket of datagrams has no end.
        std::thread::spawn(move || {
            let mut report = [0; 1000];
            while let Ok(length) = socket.recv(&mut report) {
                if sender.send(String::from_utf8_lossy(&report[..length]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { reports, name: path.display().to_string() }
    }

    /// Returns the next report that is no status and no sign of life.
    fn next_change(&self) -> String {
        loop {
            let report = self.next();
            if !report.starts_with("STATUS=") && report != "WATCHDOG=1" {
                return report;
            }
        }
    }

    fn next(&self) -> String {
        self.reports.recv_timeout(DEADLINE).expect("a report")
    }

    fn await_report(&self, expected: &str) {
        while self.next() != expected {}
    }
}

/// Returns the time of a report about a reload, in microseconds.
fn reload_time(report: &str) -> u64 {
    let time = report.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    time.unwrap_or_else(|| panic!("{report}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stage_of_a_process_is_reported() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let manager = Manager::start(directory.path());
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "1000000")];
    let toml = format!("[gateway.upstream.app]\nservers = [\"{}\"]\n", upstream.address());
    fs::write(directory.path().join("gatepost.toml"), &toml).unwrap();
    let mut gatepost = Gatepost::start_with(directory.path(), &["up"], &environment).await;
    assert_eq!(manager.next_change(), "READY=1");
    manager.await_report("WATCHDOG=1");
    manager.await_report("WATCHDOG=1");

    gatepost.signal("-HUP");
    let first = reload_time(&manager.next_change());
    assert_eq!(manager.next_change(), "READY=1");
    fs::write(directory.path().join("gatepost.toml"), format!("[gateway]\nkeepalive_ms = 1\n{toml}")).unwrap();
    let second = reload_time(&manager.next_change());
    assert!(second > first, "{first} {second}");
    assert_eq!(manager.next_change(), "READY=1", "a reload that failed has ended too");
    let status = loop {
        let report = manager.next();
        if report.contains("the changed configuration is not in use") {
            break report;
        }
    };
    assert!(status.starts_with("STATUS=ready; warnings: ") && status.lines().count() == 1, "{status}");

    assert_eq!(gatepost.terminate(), Some(0));
    assert_eq!(manager.next_change(), "STOPPING=1\nSTATUS=draining");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_process_reports_its_start_and_its_end() {
    let (redis, upstream) = (RedisServer::start(), MockServer::start());
    let store = redis.url();
    create_access_key(&store);
    for arguments in [&["gateway", "--upstream", &upstream.url()][..], &["control-plane"], &["deliverer"]] {
        let directory = tempfile::tempdir().unwrap();
        let manager = Manager::start(directory.path());
        let arguments = [arguments, &["--store", store.as_str()]].concat();
        let environment = [("NOTIFY_SOCKET", manager.name.as_str())];
        let mut process = Gatepost::start_with(Path::new(EMPTY_DIRECTORY), &arguments, &environment).await;
        assert_eq!(manager.next_change(), "READY=1", "{arguments:?}");
        assert_eq!(process.terminate(), Some(0));
        assert_eq!(manager.next_change(), "STOPPING=1\nSTATUS=draining", "{arguments:?}");
    }
}

/// Sends one request after the other, each on a connection of its own, until told to stop. Returns how often there was
/// which result.
pub(crate) fn send_until(
    done: &Arc<AtomicBool>,
    address: SocketAddr,
    key: &str,
) -> JoinHandle<BTreeMap<String, usize>> {
    let (done, key) = (Arc::clone(done), key.to_owned());
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(DEADLINE).build().unwrap();
    tokio::spawn(async move {
        let mut results = BTreeMap::new();
        while !done.load(Ordering::Relaxed) {
            let result = match client.get(format!("http://{address}/x")).bearer_auth(&key).send().await {
                Ok(response) => response.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            *results.entry(result).or_default() += 1;
        }
        results
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_under_load_refuses_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = MockServer::with_statuses(|number| (200, Duration::from_millis(number as u64 % 20)));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let toml = format!(
        "[[gateway.listener]]\nname = \"public\"\naddress = \"{address}\"\n\
         [gateway.upstream.app]\nservers = [\"{}\"]\n",
        upstream.address()
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    // By its address: the name is that of the socket unit.
    let start = || Gatepost::start_with_socket(directory.path(), &["up"], "gatepost.socket", &socket);
    let mut gatepost = start().await;
    let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
    let (key, _) = admin.create_api_key(&admin.create_project().await).await;
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..CLIENTS).map(|_| send_until(&done, address, &key)).collect();
    for _ in 0..RESTARTS {
        let served = upstream.request_count();
        assert!(upstream.await_count(served + 50, DEADLINE) >= served + 50, "the load is served");
        assert_eq!(gatepost.terminate(), Some(0));
        gatepost = start().await;
    }
    done.store(true, Ordering::Relaxed);
    for sending in load {
        let results = sending.await.unwrap();
        assert_eq!(results.keys().collect::<Vec<_>>(), ["200 OK"], "{results:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hands_over_the_socket_of_a_listener_by_its_name() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let address = SocketAddr::from(([127, 0, 0, 1], gatepost_test_support::free_port()));
    let toml = format!(
        "[[gateway.listener]]\nname = \"public\"\naddress = \"127.0.0.1:1\"\n\
         [gateway.upstream.app]\nservers = [\"{}\"]\n",
        upstream.address()
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let mut activate = Command::new("systemd-socket-activate");
    activate.args(["--listen", &address.to_string(), "--fdname=public"]);
    activate.args(["--setenv", &format!("GATEPOST_MASTER_KEY={MASTER_KEY}")]);
    // The first connection starts the program.
    let first = std::thread::spawn(move || {
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => return stream,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    });
    let gatepost = Gatepost::start_by(activate, directory.path(), &["up"]).await;
    let response = client().get(format!("http://{address}/x")).send().await.unwrap();
    assert_eq!(response.status(), 401);
    gatepost.await_log(&format!("\"address\":\"{address}\"")).await;
    drop(first.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_the_socket_of_a_listener_and_says_what_the_removal_of_one_needs() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", socket.local_addr().unwrap());
    let free = || SocketAddr::from(([127, 0, 0, 1], gatepost_test_support::free_port()));
    let other = format!("[[gateway.listener]]\nname = \"other\"\naddress = \"{}\"\n", free());
    let public = |address: SocketAddr| format!("[[gateway.listener]]\nname = \"public\"\naddress = \"{address}\"\n");
    let write = |listeners: &str| {
        let upstream = format!("[gateway.upstream.app]\nservers = [\"{}\"]\n", upstream.address());
        fs::write(directory.path().join("gatepost.toml"), listeners.to_owned() + &upstream).unwrap();
    };
    let reload = || {
        let output = run(directory.path(), &["reload", "--wait"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        printed
    };
    write(&(other.clone() + &public(free())));
    let gatepost = Gatepost::start_with_socket(directory.path(), &["up"], "public", &socket).await;
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    // Its name says which socket it has.
    write(&(other.clone() + &public(free())));
    assert_eq!(reload(), "the configuration was reloaded\n");
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);

    write(&other);
    let what = "restart to apply the removal of the listener \"public\", after you have stopped its socket unit";
    for _ in 0..2 {
        let printed = reload();
        assert!(printed.contains(what), "{printed}");
    }
    let (_, report) = gatepost.readiness().await;
    assert!(report.contains("the removal of the listener"), "{report}");
}

#[test]
fn a_socket_that_fits_no_listener_ends_the_start_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let arguments = ["up", "--upstream", "http://127.0.0.1:9"];
    let output = command_with_socket(directory.path(), &arguments, "web", &socket).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let expected = format!("file descriptor 3 from systemd, named \"web\", on {address}, fits no listener");
    assert!(error.contains(&expected) && error.contains("there are ops (127.0.0.1:0), admin (127.0.0.1:0)"), "{error}");
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "no store was created");
}

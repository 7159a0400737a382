//! Configuration that a running gateway takes over.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer, free_port};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::admin::{Admin, client, create_access_key};
use crate::certificates::Authority;
use crate::process::{Gatepost, run};
use crate::single_process::read_first_access_key;

/// Longest time until a changed file is in use.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(20);
/// Reloads under load.
const RELOADS: usize = 50;
/// Time between two requests of the load: 200 a second.
const REQUEST_INTERVAL: Duration = Duration::from_millis(5);

/// A gateway with two upstreams, and the directory of its configuration.
struct Fixture {
    upstreams: [MockServer; 2],
    gatepost: Gatepost,
    key: String,
    directory: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let (upstreams, directory) = ([(); 2].map(|()| MockServer::start()), tempfile::tempdir().unwrap());
        write(directory.path(), &configuration(&upstreams, ["one", "two", "one"]));
        let gatepost = Gatepost::start(directory.path(), &["up"]).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let project = admin.create_project().await;
        let (key, _) = admin.create_api_key(&project).await;
        Self { upstreams, gatepost, key, directory }
    }

    async fn status(&self, path: &str) -> u16 {
        client().get(self.gatepost.url(path)).bearer_auth(&self.key).send().await.unwrap().status().as_u16()
    }

    /// Runs `gatepost reload`, and returns its exit code and what it prints.
    fn reload(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run(self.directory.path(), &[&["reload"], arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    async fn await_status(&self, path: &str, status: u16) {
        let waiting = async {
            while self.status(path).await != status {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(TAKE_OVER_DEADLINE, waiting).await;
        assert!(waited.is_ok(), "{path} never got {status}: {}", self.gatepost.log().join("\n"));
    }
}

fn write(directory: &Path, configuration: &str) {
    fs::write(directory.join("gatepost.toml"), configuration).unwrap();
}

/// Returns a configuration whose three routes go to these upstreams.
fn configuration(upstreams: &[MockServer; 2], targets: [&str; 3]) -> String {
    let routes = ["/a", "/b", "/c"].iter().zip(targets);
    let routes =
        routes.map(|(path, target)| format!("[[gateway.route]]\npath = \"{path}\"\nupstream = \"{target}\"\n"));
    let named = ["one", "two"].iter().zip(upstreams);
    let upstreams =
        named.map(|(name, server)| format!("[gateway.upstream.{name}]\nservers = [\"{}\"]\n", server.address()));
    routes.chain(upstreams).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_a_command_and_a_changed_file_each_bring_the_new_configuration() {
    let fixture = Fixture::start().await;
    let route = |path: &str| {
        let more = format!("[[gateway.route]]\npath = \"{path}\"\nupstream = \"two\"\nauth = \"off\"\n");
        write(fixture.directory.path(), &(configuration(&fixture.upstreams, ["one", "two", "one"]) + &more));
    };
    assert_eq!(fixture.status("/by-command").await, 404);
    route("/by-command");
    assert_eq!(fixture.reload(&["--wait"]), (Some(0), "the configuration was reloaded\n".to_owned()));
    assert_eq!(fixture.status("/by-command").await, 200);

    route("/by-signal");
    fixture.gatepost.signal("-HUP");
    fixture.await_status("/by-signal", 200).await;
    assert_eq!(fixture.status("/by-command").await, 404);

    route("/by-file");
    fixture.await_status("/by-file", 200).await;
    assert!(fixture.gatepost.metric("gatepost_config_reloads_total{outcome=\"applied\"}").await >= 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_file_is_refused_whole_and_one_that_needs_a_restart_says_so() {
    let fixture = Fixture::start().await;
    let good = configuration(&fixture.upstreams, ["two", "two", "two"]);
    let faulty = format!("{good}\n[[gateway.route]]\npath = \"no-slash\"\n[gateway.upstream.three]\nservers = []\n");
    write(fixture.directory.path(), &faulty);
    let (code, text) = fixture.reload(&["--wait"]);
    assert_eq!(code, Some(1), "{text}");
    let line = |what: &str| faulty.lines().position(|line| line.contains(what)).unwrap() + 1;
    for fault in [
        format!("gatepost.toml:{}: gateway.route.path", line("no-slash")),
        format!("gatepost.toml:{}: gateway.upstream.three", line("upstream.three")),
    ] {
        assert!(text.contains(&fault), "{fault} in {text}");
    }
    fixture.gatepost.await_log("the configuration was not reloaded").await;
    let (code, report) = fixture.gatepost.readiness().await;
    assert_eq!(code, 200, "the old configuration stays: {report}");
    assert!(report.contains("the changed configuration is not in use"), "{report}");
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 1.0);
    assert_eq!(fixture.status("/a").await, 200);
    assert_eq!(fixture.upstreams[0].request_count(), 1, "/a still goes to the first upstream");

    write(fixture.directory.path(), &format!("[gateway]\nname = \"other\"\n{good}[accounts]\nmax_keys = 5\n"));
    let (code, text) = fixture.reload(&["--wait"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("restart to apply accounts.max_keys, gateway.name"), "{text}");
    assert!(fixture.gatepost.readiness().await.1.contains("restart to apply accounts.max_keys, gateway.name"));
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 0.0);
    assert_eq!(fixture.status("/a").await, 200);
    assert_eq!(fixture.upstreams[0].request_count(), 1, "/a goes to the second upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_configuration_is_taken_over_once_its_certificates_fit() {
    let fixture = Fixture::start().await;
    let authority = Authority::create(fixture.directory.path(), "ca");
    let files = authority.issue("server", &["a.example.com"]);
    let good = fs::read(&files.cert).unwrap();
    fs::write(&files.cert, "no certificate").unwrap();
    let listener = format!(
        "[gateway]\nlisten = \"{}\"\n[[gateway.listener]]\naddress = \"127.0.0.1:{}\"\n[gateway.listener.tls]\n\
         certificates = [{}]\n",
        fixture.gatepost.gateway.unwrap(),
        free_port(),
        files.toml()
    );
    write(fixture.directory.path(), &(listener + &configuration(&fixture.upstreams, ["two", "two", "two"])));
    let (code, text) = fixture.reload(&["--wait"]);
    assert!(code == Some(1) && text.contains("server.pem: has no certificate"), "{text}");
    fs::write(&files.cert, good).unwrap();
    fixture.gatepost.await_log("the configuration was reloaded").await;
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 0.0);
    assert!(!fixture.gatepost.readiness().await.1.contains("not in use"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_configuration_is_taken_over_once_its_address_is_free() {
    let fixture = Fixture::start().await;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let address = other.local_addr().unwrap();
    let listener = format!("[[gateway.listener]]\nname = \"added\"\naddress = \"{address}\"\n");
    write(fixture.directory.path(), &(listener + &configuration(&fixture.upstreams, ["two", "two", "two"])));
    let (code, text) = fixture.reload(&["--wait"]);
    assert!(code == Some(1) && text.contains(&format!("cannot listen on {address}")), "{text}");
    drop(other);
    fixture.gatepost.await_log("the configuration was reloaded").await;
    assert!(TcpStream::connect(address).is_ok());
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_gone_is_reported_until_it_is_there_again() {
    let fixture = Fixture::start().await;
    let file = fixture.directory.path().join("gatepost.toml");
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fixture.gatepost.await_log("gatepost.toml: cannot be read").await;
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 1.0);
    assert_eq!(fixture.status("/a").await, 200, "the old configuration stays");
    fs::write(&file, text).unwrap();
    fixture.gatepost.await_log("the configuration was reloaded").await;
    assert_eq!(fixture.gatepost.metric("gatepost_config_faulty").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_respond_by_themselves_need_no_upstream() {
    let directory = tempfile::tempdir().unwrap();
    let respond = |status: u16| {
        write(directory.path(), &format!("[[gateway.route]]\nauth = \"off\"\nrespond = {status}\n"));
    };
    respond(204);
    let gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let status = async || client().get(gatepost.url("/")).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 204);
    let reload = || run(directory.path(), &["reload", "--wait"]);
    respond(503);
    assert!(reload().status.success());
    assert_eq!(status().await, 503);
    write(directory.path(), "");
    let refused = reload();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("no upstream is configured"), "{text}");
    assert_eq!(status().await, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_on_redis_is_reloaded_through_its_control_socket() {
    let (directory, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let upstreams = [MockServer::start(), MockServer::start()];
    create_access_key(&redis.url());
    let socket = directory.path().join("gateway.sock");
    let toml = |targets| {
        let store = format!("[store]\nurl = {:?}\n[gateway]\ncontrol_socket = {socket:?}\n", redis.url());
        store + &configuration(&upstreams, targets)
    };
    write(directory.path(), &toml(["one", "one", "one"]));
    let reload = || {
        let output = run(directory.path(), &["reload", "--wait"]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = reload();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no process listens on") && text.contains("gateway.sock"), "{text}");
    let mut gateway = Gatepost::start(directory.path(), &["gateway"]).await;
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let added = "[[gateway.route]]\npath = \"/new\"\nupstream = \"two\"\nauth = \"off\"\n";
    write(directory.path(), &(toml(["one", "one", "one"]) + added));
    assert_eq!(reload(), (Some(0), "the configuration was reloaded\n".to_owned()));
    assert_eq!(client().get(gateway.url("/new")).send().await.unwrap().status(), 200);
    write(directory.path(), &toml(["one", "none", "one"]));
    let (code, text) = reload();
    assert!(code == Some(1) && text.contains("upstream \"none\" does not exist"), "{text}");

    // A killed process leaves its socket behind, and the next one replaces it.
    write(directory.path(), &toml(["one", "one", "one"]));
    gateway.kill();
    let _next = Gatepost::start(directory.path(), &["gateway"]).await;
    assert_eq!(reload(), (Some(0), "the configuration was reloaded\n".to_owned()));

    write(directory.path(), &format!("[store]\nurl = {:?}\n", redis.url()));
    let (code, text) = reload();
    assert!(code == Some(2) && text.contains("set gateway.control_socket"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_fail_no_request() {
    let fixture = Fixture::start().await;
    let added = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let listener = format!("[[gateway.listener]]\nname = \"added\"\naddress = \"{added}\"\n");
    let configurations = [
        configuration(&fixture.upstreams, ["one", "two", "one"]),
        listener + &configuration(&fixture.upstreams, ["two", "two", "one"]),
    ];
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<JoinHandle<Vec<u16>>> =
        ["/a", "/b", "/c"].into_iter().map(|path| send_until(&fixture, path, &done)).collect();
    for number in 1..=RELOADS {
        write(fixture.directory.path(), &configurations[number % 2]);
        let (code, text) = fixture.reload(&["--wait"]);
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(TcpStream::connect(added).is_ok(), number % 2 == 1, "{number}");
    }
    done.store(true, Ordering::Relaxed);
    for sending in load {
        let statuses = sending.await.unwrap();
        assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    assert!(fixture.upstreams.iter().all(|upstream| upstream.request_count() > 0));
}

/// Sends requests, a third of the load, until it is done. Returns the status of each.
fn send_until(fixture: &Fixture, path: &str, done: &Arc<AtomicBool>) -> JoinHandle<Vec<u16>> {
    let (url, key, done, client) = (fixture.gatepost.url(path), fixture.key.clone(), Arc::clone(done), client());
    tokio::spawn(async move {
        let mut statuses = Vec::new();
        let mut turns = tokio::time::interval(3 * REQUEST_INTERVAL);
        while !done.load(Ordering::Relaxed) {
            turns.tick().await;
            statuses.push(client.get(&url).bearer_auth(&key).send().await.unwrap().status().as_u16());
        }
        statuses
    })
}

//! Starting and stopping: failures for which a start waits, failures that end it, and a clean stop at any time.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use gatepost_test_support::{Gate, MockServer, RedisCluster, RedisServer, free_port};
use serde_json::Value;

use crate::admin::{client, create_access_key};
use crate::process::{EMPTY_DIRECTORY, Gatepost, command, run};
use crate::test_cluster::{DEADLINE, TestCluster, get_status};

/// Log message of a process that waits for its store.
const WAITING_MESSAGE: &str = "opening the store failed, retrying";

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// Returns the command of a gateway, with the address of its operations server.
fn gateway_command(store: &str, upstream: &str) -> (Command, SocketAddr) {
    let ops = free_address();
    let arguments = ["gateway", "--upstream", upstream, "--store", store, "--listen", "127.0.0.1:0", "--ops-listen"];
    (command(Path::new(EMPTY_DIRECTORY), &[&arguments[..], &[&ops.to_string()]].concat()), ops)
}

async fn status_of_url(url: String) -> u16 {
    client().get(url).send().await.map_or(0, |response| response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_any_time_deregisters() {
    let (redis, upstream) = (RedisServer::start(), MockServer::start());
    create_access_key(&redis.url());
    let mut ended = Vec::new();
    for number in 0..20 {
        let (command, ops) = gateway_command(&redis.url(), &upstream.url());
        let mut process = Gatepost::spawn_without_waiting(command, ops);
        // The delays are chosen so that the stops hit different stages of a start.
        tokio::time::sleep(Duration::from_millis(number * 20)).await;
        process.signal("-TERM");
        ended.push(process.await_exit());
        assert_eq!(redis.redis_cli(&["hlen", "{gp}:gateways"]), "0", "after {} ms: {ended:?}", number * 20);
    }
    // Without handlers, at the very start, the signal kills the process, which is not registered yet.
    assert!(ended.iter().all(|code| matches!(code, None | Some(0))), "{ended:?}");
    assert!(ended.contains(&Some(0)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_signal_does_what_is_documented() {
    let mut cluster = TestCluster::start(3).await;
    let project = cluster.admin.create_project().await;
    let (key, _) = cluster.admin.create_api_key(&project).await;
    for (signal, logged) in [("-HUP", "the configuration was reloaded"), ("-USR1", "SIGUSR1"), ("-USR2", "SIGUSR2")] {
        cluster.gateways[0].signal(signal);
        cluster.gateways[0].await_log(logged).await;
        assert_eq!(cluster.get_status(0, &key).await, 200);
    }
    for (gateway, signal) in ["-TERM", "-INT", "-QUIT"].into_iter().enumerate() {
        cluster.gateways[gateway].signal(signal);
        assert_eq!(cluster.gateways[gateway].await_exit(), Some(0), "{signal}");
        assert!(cluster.gateways[gateway].log().iter().any(|line| line.contains("draining")), "{signal}");
    }
    assert_eq!(cluster.redis.redis_cli(&["hlen", "{gp}:gateways"]), "0");
}

/// Gateway whose drain waits for a request that the upstream responds to when the gate is opened.
struct DrainingGateway {
    gate: Gate,
    gateway: Gatepost,
    in_flight: tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>,
    _servers: (RedisServer, MockServer),
}

impl DrainingGateway {
    async fn start() -> Self {
        let gate = Gate::default();
        let (redis, upstream) = (RedisServer::start(), MockServer::with_gate(&gate));
        let access_key = create_access_key(&redis.url());
        let plane = Gatepost::start_on_store(&redis.url(), &["control-plane"]).await;
        let admin = crate::admin::Admin::new(plane.admin.unwrap(), &access_key);
        let (key, _) = admin.create_api_key(&admin.create_project().await).await;
        let gateway = Gatepost::start_on_store(&redis.url(), &["gateway", "--upstream", &upstream.url()]).await;
        let url = gateway.url("/slow");
        let in_flight = tokio::spawn(async move { client().get(url).header("x-api-key", key).send().await });
        assert_eq!(upstream.await_count(1, DEADLINE), 1);
        Self { gate, gateway, in_flight, _servers: (redis, upstream) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_drain() {
    let mut draining = DrainingGateway::start().await;
    draining.gateway.signal("-TERM");
    draining.gateway.await_log("draining").await;
    // As somebody who does not want to wait: again and again, until one is late enough.
    while draining.gateway.is_running() {
        draining.gateway.signal("-INT");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(draining.gateway.await_exit(), Some(1));
    draining.gateway.await_log("stopped at once by a second signal").await;
    draining.gate.open();
    assert!(draining.in_flight.await.unwrap().is_err(), "it was aborted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_accepts_connections_until_load_balancers_have_noticed() {
    let upstream = MockServer::start();
    for (delay, exit_code) in [("86400000", 1), ("10", 0)] {
        let directory = tempfile::tempdir().unwrap();
        let environment = [("GATEPOST_GATEWAY__DRAIN_DELAY_MS", delay)];
        let arguments = ["up", "--upstream", &upstream.url()];
        let mut gatepost = Gatepost::start_with(directory.path(), &arguments, &environment).await;
        gatepost.signal("-TERM");
        gatepost.await_log("draining").await;
        if exit_code == 1 {
            assert_eq!(gatepost.readiness().await.0, 503);
            assert_eq!(status_of_url(gatepost.url("/")).await, 401, "a new connection is served");
            while gatepost.is_running() {
                gatepost.signal("-TERM");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(gatepost.await_exit(), Some(exit_code), "{delay}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_come_together_start_one_drain() {
    let mut draining = DrainingGateway::start().await;
    // While the process does not run, both become pending.
    for signal in ["-STOP", "-INT", "-TERM", "-CONT"] {
        draining.gateway.signal(signal);
    }
    draining.gateway.await_log("draining").await;
    draining.gateway.await_log("signal ignored: it came with the first").await;
    draining.gate.open();
    assert_eq!(draining.in_flight.await.unwrap().unwrap().status(), 200);
    assert_eq!(draining.gateway.await_exit(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_redis_live_and_not_ready() {
    let (mut redis, upstream) = (RedisServer::start(), MockServer::start());
    create_access_key(&redis.url());
    let url = redis.url();
    redis.kill();
    let (command, ops) = gateway_command(&url, &upstream.url());
    let process = Gatepost::spawn_without_waiting(command, ops);
    process.await_log(WAITING_MESSAGE).await;
    assert_eq!(status_of_url(format!("http://{ops}/livez")).await, 200);
    let (code, readiness) = process.readiness().await;
    assert!(code == 503 && readiness.contains("not reachable yet"), "{readiness}");
    redis.resume();
    process.await_ready().await;
}

/// Runs a gateway with a start timeout that is slightly longer than the timeout of one attempt.
fn run_gateway(store: &str) -> (Option<i32>, String) {
    let (mut command, _) = gateway_command(store, "http://127.0.0.1:9");
    let output = command.env("GATEPOST_STORE__START_TIMEOUT_MS", "4000").output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Checks that the final error of a process, and those that it has logged, have causes, and no cause twice.
fn check_no_cause_is_repeated(log: &str) {
    let last = log.lines().find_map(|line| line.strip_prefix("gatepost: ")).unwrap();
    let logged = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let logged = logged.filter_map(|line| line["error"].as_str().map(str::to_owned));
    for error in std::iter::once(last.to_owned()).chain(logged) {
        let parts: Vec<&str> = error.split(": ").collect();
        assert!(parts.len() > 1, "{error}");
        assert!((1..parts.len()).all(|at| !parts[..at].contains(&parts[at])), "{error}");
    }
}

#[test]
fn a_start_waits_for_transient_failures() {
    let loading = RedisServer::start();
    create_access_key(&loading.url());
    for number in 0..200 {
        loading.redis_cli(&["set", &number.to_string(), "x"]);
    }
    // Each key takes 50 ms to load.
    let mut loading = loading.with_arguments(&["--key-load-delay", "50000"]);
    loading.restart_without_waiting();
    let stale = RedisServer::start_with(&[
        "--replicaof".to_owned(),
        format!("127.0.0.1 {}", free_port()),
        "--replica-serve-stale-data".to_owned(),
        "no".to_owned(),
    ]);
    let without_slots = RedisServer::start_with(&RedisCluster::server_arguments());
    let nobody = format!("127.0.0.1:{}", free_port());
    let stores = [
        format!("redis://{nobody}"),
        "redis://never.invalid:6379".to_owned(),
        format!("redis+sentinel://{nobody}/main"),
        format!("redis+cluster://{nobody}"),
        loading.url(),
        stale.url(),
        without_slots.url().replace("redis://", "redis+cluster://"),
    ];
    let running = stores.map(|store| std::thread::spawn(move || (run_gateway(&store), store)));
    for run in running {
        let ((code, log), store) = run.join().unwrap();
        assert!(code == Some(1) && log.contains(WAITING_MESSAGE), "{store}: {code:?} {log}");
        assert!(log.contains("store unavailable"), "{store}: {log}");
        check_no_cause_is_repeated(&log);
    }
}

#[test]
fn a_start_fails_at_once_on_permanent_failures() {
    let redis = RedisServer::start();
    let wrong_key = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let with_password = RedisServer::start();
    assert_eq!(with_password.redis_cli(&["config", "set", "requirepass", "right"]), "OK");
    for (store, hint) in [
        (redis.url(), "there is no store at"),
        (with_password.url(), "refused"),
        (with_password.url().replace("redis://", "redis://:wrong@"), "refused"),
        (format!("{}/99", redis.url()), "out of range"),
        (redis.url().replace("redis://", "redis+cluster://"), "cluster support disabled"),
    ] {
        let (code, log) = run_gateway(&store);
        assert_eq!(code, Some(1), "{store}: {log}");
        assert!(!log.contains(WAITING_MESSAGE), "{store}: {log}");
        assert!(log.contains(hint) && !log.contains("corrupt"), "{store}: {log}");
        check_no_cause_is_repeated(&log);
    }
    create_access_key(&redis.url());
    let (mut command, _) = gateway_command(&redis.url(), "http://127.0.0.1:9");
    let output = command.env("GATEPOST_MASTER_KEY", wrong_key).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains(WAITING_MESSAGE) && log.contains("the master key does not open this store"), "{log}");
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_check_checks_what_a_start_checks() {
    let redis = RedisServer::start();
    let check = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = command(Path::new(EMPTY_DIRECTORY), &[&["check"], arguments].concat());
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (output.status.code(), output_text(&output))
    };
    let url = redis.url();
    let (code, text) = check(&["--store", &url, "--upstream", "http://never.invalid:80"], &[]);
    assert_eq!(code, Some(1), "{text}");
    for fault in ["there is no store at", "upstream app: cannot resolve never.invalid:80"] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
    let (code, text) = check(&["--store", &url], &[("GATEPOST_MASTER_KEY", "short")]);
    assert!(code == Some(1) && text.contains("a master key is the base64 of 32 random bytes"), "{text}");
    let (code, text) = check(&["--store", &url, "--upstream", "http://never.invalid:80", "--offline"], &[]);
    assert_eq!(code, Some(0), "{text}");
    for left_out in ["was not checked (--offline)", "upstream host names were not resolved (--offline)"] {
        assert!(text.contains(left_out), "{left_out}: {text}");
    }
    create_access_key(&url);
    let (code, text) = check(&["--store", &url, "--upstream", "http://localhost:80"], &[]);
    assert!(code == Some(0) && text.contains("no errors"), "{text}");
    let (code, text) = check(&["--store", &url], &[("SSL_CERT_FILE", "/dev/null")]);
    assert!(code == Some(1) && text.contains("SSL_CERT_FILE") && text.contains("ca-certificates"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_an_embedded_store_changes_nothing() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let check = || {
        let mut command = command(directory.path(), &["check"]);
        let output = command.env_remove("GATEPOST_MASTER_KEY").output().unwrap();
        (output.status.code(), output_text(&output))
    };
    let (code, text) = check();
    assert!(code == Some(0) && text.contains("a new store will be created in ./gatepost-data"), "{text}");
    assert!(!directory.path().join("gatepost-data").exists());
    let mut up = Gatepost::start(directory.path(), &["up", "--upstream", &upstream.url()]).await;
    let output = run(directory.path(), &["check"]);
    assert!(output_text(&output).contains("is in use by a running process"), "{}", output_text(&output));
    assert_eq!(get_status(&up.url("/x"), "never-a-key-value").await, 401);
    assert_eq!(up.terminate(), Some(0));
    assert!(run(directory.path(), &["check"]).status.success());
}

#[test]
fn without_certificates_a_start_names_the_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let arguments = [&["up", "--upstream", "http://127.0.0.1:9"], &listen[..]].concat();
    let output = command(directory.path(), &arguments).env("SSL_CERT_FILE", "/dev/null").output().unwrap();
    let text = output_text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("SSL_CERT_FILE") && text.contains("ca-certificates"), "{text}");
}

#[test]
fn the_error_names_a_directory_that_cannot_be_created() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("gatepost-data"), "a file instead of a directory").unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let arguments = [&["up", "--upstream", "http://127.0.0.1:9"], &listen[..]].concat();
    let path = directory.path().join("gatepost-data").display().to_string();
    for master_key in [None, Some(crate::process::MASTER_KEY)] {
        let mut command = command(directory.path(), &arguments);
        command.env_remove("GATEPOST_MASTER_KEY").envs(master_key.map(|key| ("GATEPOST_MASTER_KEY", key)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output_text(&output).contains(&path), "{path}: {}", output_text(&output));
    }
}

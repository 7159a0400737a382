//! The image: what it is made of, and what runs of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use gatepost_test_support::MockServer;
use serde_json::{Value, json};

use super::engine::{Engine, IMAGE, ROOT, run};
use crate::admin::client;

/// Attempts, 20 ms apart, until a container is ready.
const MAX_ATTEMPTS: u32 = 1000;
const USER: u32 = 65532;
/// As compose.yaml and other careful installations run it. The network is that of the test.
const RESTRICTIONS: [&str; 5] =
    ["--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=256m"];

impl Engine {
    /// Runs the health check of a container until it succeeds.
    async fn await_health(&self, container: &str) {
        for _ in 0..MAX_ATTEMPTS {
            if self.command("podman", &["healthcheck", "run", container]).output().unwrap().status.success() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{container} is not ready: {}", String::from_utf8_lossy(&self.logs(container).stderr));
    }

    fn logs(&self, container: &str) -> Output {
        self.command("podman", &["logs", container]).output().unwrap()
    }
}

/// Returns the status with which the gateway responds to a key.
async fn status_of(key: &str) -> u16 {
    let sending = client().get("http://127.0.0.1:8080/x").bearer_auth(key).send();
    sending.await.unwrap().status().as_u16()
}

/// Returns a line of the status of a process.
fn status_line(pid: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_runs_without_privileges_and_keeps_its_state_in_a_volume() {
    let test = "containers::image::the_image_runs_without_privileges_and_keeps_its_state_in_a_volume";
    let Some(engine) = Engine::enter(test) else { return };
    engine.build_image();
    let config: Value = serde_json::from_str(&engine.podman(&["inspect", IMAGE])).unwrap();
    let config = &config[0];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Config"]["Entrypoint"], json!(["/usr/bin/gatepost"]));
    assert_eq!(config["Config"]["Volumes"], json!({"/data": {}}));
    assert_eq!(config["Config"]["StopSignal"], "SIGTERM");
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/usr/bin/gatepost", "health"]));
    let documents = Path::new(&engine.podman(&["image", "mount", IMAGE])).join("usr/share/doc/gatepost");
    for name in ["LICENSE", "THIRD-PARTY.txt"] {
        let expected = fs::read(Path::new(ROOT).join(name)).unwrap();
        assert!(fs::read(documents.join(name)).unwrap() == expected, "{name}");
    }

    let upstream = MockServer::start();
    let up = ["--name=gatepost", "--volume=state:/data", IMAGE, "up", "--upstream", &upstream.url()];
    engine.podman(&[&["run", "--detach"], &RESTRICTIONS[..], &up].concat());
    engine.await_health("gatepost").await;
    let key = engine.podman(&["exec", "gatepost", "gatepost", "key", "create", "--name", "Jane"]);
    assert_eq!([status_of(&key).await, status_of("live_none").await], [200, 401]);

    let pid = engine.podman(&["inspect", "--format", "{{.State.Pid}}", "gatepost"]);
    let values = ["Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"].map(|name| status_line(&pid, name));
    let none = "0000000000000000";
    assert_eq!(values, ["65532 65532 65532 65532", none, none, "1", "2"]);
    let volume = engine.podman(&["volume", "inspect", "--format", "{{.Mountpoint}}", "state"]);
    for name in ["gatepost.redb", "master.key", "first-access-key"] {
        let file = fs::metadata(Path::new(&volume).join("gatepost-data").join(name)).unwrap();
        assert_eq!((file.uid(), file.mode() & 0o777), (USER, 0o600), "{name}");
    }

    for _ in 0..2 {
        engine.podman(&["stop", "--time=30", "gatepost"]);
        assert_eq!(engine.podman(&["inspect", "--format", "{{.State.ExitCode}}", "gatepost"]), "0");
        engine.podman(&["start", "gatepost"]);
        engine.await_health("gatepost").await;
        assert_eq!(status_of(&key).await, 200);
    }
}

#[test]
fn a_base_without_certificates_of_authorities_is_named() {
    let test = "containers::image::a_base_without_certificates_of_authorities_is_named";
    let Some(engine) = Engine::enter(test) else { return };
    engine.build_image();
    let up = ["--timeout=60", "--tmpfs=/etc/ssl:notmpcopyup", IMAGE, "up", "--upstream", "http://127.0.0.1:9"];
    let output = engine.command("podman", &[&["run", "--rm"], &RESTRICTIONS[..], &up].concat()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && printed.contains("SSL_CERT_FILE"), "{printed}");
}

#[test]
fn the_build_stage_gets_every_crate_and_neither_secrets_nor_state() {
    let test = "containers::image::the_build_stage_gets_every_crate_and_neither_secrets_nor_state";
    let Some(engine) = Engine::enter(test) else { return };
    let file = engine.path("Dockerfile").display().to_string();
    fs::write(&file, "FROM scratch\nCOPY . /source\n").unwrap();
    engine.build(&["--tag", "localhost/context", "--file", &file, "."]);
    let source = Path::new(&engine.podman(&["image", "mount", "localhost/context"])).join("source");
    // It reads the manifest of each crate, and looks for its targets.
    let options = ["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"];
    run(Command::new(env!("CARGO")).args(options).current_dir(&source));
    for name in [".git", "target", "deploy", "rust-toolchain.toml"] {
        assert!(!source.join(name).exists(), "{name}");
    }
}

#[test]
fn the_image_is_built_with_the_compiler_of_all_checks() {
    let read = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    let build = format!("\nARG BUILD=docker.io/library/rust:{channel}-");
    assert!(read("deploy/container/Dockerfile").contains(&build), "{build}");
}

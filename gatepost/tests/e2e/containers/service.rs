//! The packages and their services, in a Debian whose first process is systemd.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::{MockServer, RedisServer};

use super::engine::{Engine, ROOT, run};
use crate::admin::client;
use crate::process::MASTER_KEY;
use crate::systemd::send_until;

/// Where `cargo xtask test --long` prepares the tools and the system.
const PREPARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/deploy");
const GATEWAY: &str = "127.0.0.1:8080";
/// Attempts, 100 ms apart, until a service is as expected.
const MAX_ATTEMPTS: u32 = 300;
/// Requests before and after an upgrade.
const REQUESTS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(60);
/// The credentials of systemd cannot be mounted in a container inside a container.
/// The environment has the master key instead, which comes before the file.
const WITHOUT_CREDENTIALS: &str = "[Service]\nLoadCredential=\n";

/// A running Debian with systemd, in the network of the test.
struct System {
    engine: Engine,
}

impl System {
    fn boot(engine: Engine) -> Self {
        let context = engine.path("system");
        fs::create_dir(&context).unwrap();
        fs::hard_link(Path::new(PREPARED).join("system.tar"), context.join("system.tar"))
            .or_else(|_| fs::copy(Path::new(PREPARED).join("system.tar"), context.join("system.tar")).map(drop))
            .unwrap();
        let file = engine.path("Dockerfile.system");
        let text = "FROM scratch\nADD system.tar /\nSTOPSIGNAL SIGRTMIN+3\nCMD [\"/lib/systemd/systemd\"]\n";
        fs::write(&file, text).unwrap();
        let [file, context] = [&file, &context].map(|path| path.display().to_string());
        engine.build(&["--tag", "localhost/system", "--file", &file, &context]);
        let packages = format!("--volume={}:/packages:ro", engine.path("packages").display());
        let options = ["--name=system", "--privileged", "--systemd=always", "--network=host"];
        engine.podman(&[&["run", "--detach"], &options[..], &[&packages, "localhost/system"]].concat());
        let system = Self { engine };
        system.await_output("systemctl is-system-running || true", "running");
        system
    }

    /// Runs a shell command in the system, and returns what it prints.
    fn run(&self, script: &str) -> String {
        self.engine.podman(&["exec", "system", "sh", "-ec", script])
    }

    fn await_output(&self, script: &str, expected: &str) {
        let mut output = String::new();
        for _ in 0..MAX_ATTEMPTS {
            output = self.run(script);
            if output == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{script}: {output}, not {expected}: {}", self.run("journalctl --no-pager --lines=50"));
    }

    /// Asserts that the process of a service has no privileges.
    fn assert_restricted(&self, service: &str) {
        let script = format!(
            "pid=$(systemctl show --property=MainPID --value {service})
             grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status | tr -s '\\t\\n' '  '
             stat --format=%U /proc/$pid"
        );
        let none = "0000000000000000";
        let expected = format!("CapEff: {none} CapBnd: {none} NoNewPrivs: 1 Seccomp: 2 gatepost");
        assert_eq!(self.run(&script), expected, "{service}");
    }
}

/// Makes the packages of the program under test as another version, and returns the one for Debian.
fn build_packages(directory: &Path, version: &str) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    let tools = format!("{PREPARED}/venv/bin:/usr/bin:/bin");
    let mut build = Command::new("deploy/packages/build.sh");
    build.arg(env!("CARGO_BIN_EXE_gatepost")).arg(directory).current_dir(ROOT);
    run(build.env("PATH", tools).env("VERSION", version));
    package(directory, "deb")
}

fn package(directory: &Path, suffix: &str) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.into_iter().find(|file| file.extension().is_some_and(|found| found == suffix)).unwrap()
}

#[test]
fn packages_are_equal_when_made_twice_and_please_lintian() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let deb = build_packages(&first, "0.2.0");
    build_packages(&second, "0.2.0");
    for suffix in ["deb", "rpm"] {
        let [first, second] = [&first, &second].map(|directory| fs::read(package(directory, suffix)).unwrap());
        assert!(first == second, "two packages of {suffix} differ");
    }
    run(Command::new("lintian").args(["--fail-on", "error,warning"]).arg(deb));
    let files = run(Command::new("rpm").args(["--query", "--list", "--package"]).arg(package(&first, "rpm")));
    for file in ["/usr/bin/gatepost", "/usr/lib/systemd/system/gatepost.socket", "/usr/share/man/man1/gatepost-up.1.gz"]
    {
        assert!(files.lines().any(|line| line == file), "{file} is missing: {files}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_package_is_installed_upgraded_under_load_and_removed() {
    let test = "containers::service::a_package_is_installed_upgraded_under_load_and_removed";
    let Some(engine) = Engine::enter(test) else { return };
    for version in ["0.2.0", "0.2.1"] {
        let deb = build_packages(&engine.path(version), version);
        fs::create_dir_all(engine.path("packages")).unwrap();
        fs::rename(deb, engine.path("packages").join(format!("{version}.deb"))).unwrap();
    }
    let (system, upstream) = (System::boot(engine), MockServer::start());
    system.run("dpkg --install /packages/0.2.0.deb");
    assert_eq!(system.run("systemctl list-units --plain --no-legend 'gatepost*.service' 'gatepost*.socket'"), "");
    assert_eq!(system.run("stat --format='%a %U %G' /etc/gatepost/gatepost.toml"), "640 root gatepost");
    let upstream_address = upstream.address();
    system.run(&format!("sed -i s/127.0.0.1:3000/{upstream_address}/ /etc/gatepost/gatepost.toml"));
    system.run("systemctl enable --quiet --now gatepost.socket gatepost.service");
    system.assert_restricted("gatepost.service");
    system.run("gatepost health --address 127.0.0.1:9464");
    let key = system.run(
        "cd /var/lib/gatepost && setpriv --reuid=gatepost --regid=gatepost --clear-groups \\
                          gatepost key create --name Jane",
    );
    let metrics = client().get("http://127.0.0.1:9464/metrics").send().await.unwrap().text().await.unwrap();
    let started = metrics.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")).unwrap();
    assert_ne!(started, "0", "the service sees what its metrics need");

    let (done, address) = (Arc::new(AtomicBool::new(false)), GATEWAY.parse::<SocketAddr>().unwrap());
    let load: Vec<_> = (0..4).map(|_| send_until(&done, address, &key)).collect();
    let before = system.run("systemctl show --property=MainPID --value gatepost.service");
    assert!(upstream.await_count(REQUESTS, DEADLINE) >= REQUESTS);
    system.run("dpkg --install /packages/0.2.1.deb");
    let served = upstream.request_count();
    assert!(upstream.await_count(served + REQUESTS, DEADLINE) >= served + REQUESTS);
    done.store(true, Ordering::Relaxed);
    for sending in load {
        let results = sending.await.unwrap();
        assert_eq!(results.keys().collect::<Vec<_>>(), ["200 OK"], "{results:?}");
    }
    assert_ne!(system.run("systemctl show --property=MainPID --value gatepost.service"), before, "it was restarted");
    assert_eq!(system.run("systemctl show --property=NRestarts --value gatepost.service"), "0", "not by a failure");

    let said = system.run("dpkg --purge gatepost 2>&1");
    assert!(said.contains("/var/lib/gatepost with the store and its master key is left"), "{said}");
    system.run("test -s /var/lib/gatepost/gatepost-data/master.key -a ! -e /etc/gatepost/gatepost.toml");
    assert_eq!(system.run("systemctl list-units --plain --no-legend 'gatepost*.service' 'gatepost*.socket'"), "");
    assert!(client().get(format!("http://{GATEWAY}/")).send().await.is_err(), "nothing listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_services_on_redis_run_side_by_side() {
    let test = "containers::service::all_services_on_redis_run_side_by_side";
    let Some(engine) = Engine::enter(test) else { return };
    let deb = build_packages(&engine.path("packages"), "0.2.0");
    let (system, redis, upstream) = (System::boot(engine), RedisServer::start(), MockServer::start());
    system.run(&format!("dpkg --install /packages/{}", deb.file_name().unwrap().to_str().unwrap()));
    system.run(&format!("sed -i s/127.0.0.1:3000/{}/ /etc/gatepost/gatepost.toml", upstream.address()));
    let environment = format!("GATEPOST_STORE__URL={}\nGATEPOST_MASTER_KEY={MASTER_KEY}\n", redis.url());
    system.run(&format!("echo '{environment}' >/etc/gatepost/gatepost.env"));
    let other = "GATEPOST_GATEWAY__LISTEN=127.0.0.1:8090\nGATEPOST_OPS__LISTEN=127.0.0.1:9474\n";
    system.run(&format!("echo '{other}' >/etc/gatepost/gateway-b.env"));
    let services = ["gatepost-control-plane", "gatepost-deliverer", "gatepost-gateway@a", "gatepost-gateway@b"];
    for service in services.map(|service| service.replace("@a", "@").replace("@b", "@")) {
        let directory = format!("/etc/systemd/system/{service}.service.d");
        system.run(&format!("mkdir -p {directory} && printf '%s' '{WITHOUT_CREDENTIALS}' >{directory}/test.conf"));
    }
    let access_key = system.run("set -a && . /etc/gatepost/gatepost.env && gatepost access-key create");
    system.run(&format!("systemctl daemon-reload && systemctl start gatepost-gateway@a.socket {}", services.join(" ")));
    for (service, port) in services.iter().zip([9465, 9466, 9464, 9474]) {
        system.assert_restricted(service);
        system.run(&format!("gatepost health --address 127.0.0.1:{port}"));
    }
    let command = format!("GATEPOST_ACCESS_KEY={access_key} gatepost");
    system.run(&format!("{command} project create --name default"));
    let key = system.run(&format!("{command} key create --name Jane"));
    for gateway in [GATEWAY, "127.0.0.1:8090"] {
        for (key, status) in [(key.as_str(), 200), ("live_none", 401)] {
            let response = client().get(format!("http://{gateway}/x")).bearer_auth(key).send().await.unwrap();
            assert_eq!(response.status(), status, "{gateway}");
        }
    }
    for service in services {
        system.run(&format!("systemctl stop {service}"));
        assert_eq!(system.run(&format!("systemctl show --property=Result --value {service}")), "success", "{service}");
    }
}

//! Processes of the program, each with its own ports and a captured log.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gatepost_test_support::{free_port, send_signal};
use serde_json::Value;

/// Number of attempts, 20 ms apart, until a starting process counts as failed.
const MAX_ATTEMPTS: u32 = 1000;
/// Listens on free ports, which the process logs.
const ANY_PORTS: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
/// Listens on free ports on all interfaces.
const ANY_PORTS_ALL_INTERFACES: [&str; 6] =
    ["--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0", "--ops-listen", "0.0.0.0:0"];
/// Master key of the tests: the base64 of 32 bytes.
pub(crate) const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Directory without a configuration, in which nothing is written.
pub(crate) const EMPTY_DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e");

/// Standard error that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stderr {
    /// Device without free space.
    Full,
    /// Pipe whose reader has exited.
    ReaderGone,
    /// Pipe that is never read.
    NeverRead,
}

/// Running process, which is killed when dropped.
pub(crate) struct Gatepost {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    log_reader: Option<JoinHandle<()>>,
    /// Address of the gateway, if the process has one.
    pub(crate) gateway: Option<SocketAddr>,
    /// Address of the admin API, if the process has one.
    pub(crate) admin: Option<SocketAddr>,
    /// Address of the operations server.
    pub(crate) ops: SocketAddr,
}

/// Returns a command of the program, without the environment of the test run.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_gatepost")), directory, arguments)
}

/// Returns a command of another program, such as an earlier release.
pub(crate) fn command_of(program: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env_clear().env("GATEPOST_MASTER_KEY", MASTER_KEY);
    command
}

/// Returns a command that hands over a listening socket: the shell moves it to the first descriptor of those.
pub(crate) fn command_with_socket(directory: &Path, arguments: &[&str], name: &str, socket: &TcpListener) -> Command {
    let arguments: Vec<&str> = arguments.iter().copied().chain(ANY_PORTS).collect();
    let program = command(directory, &arguments);
    let mut command = command_of(Path::new("/bin/sh"), directory, &[]);
    command.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    command
}

pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

impl Gatepost {
    /// Starts a process on a store, and waits until it is ready.
    pub(crate) async fn start_on_store(url: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--store", url]).collect();
        Self::start(Path::new(EMPTY_DIRECTORY), &arguments).await
    }

    /// Starts a process, and waits until it is ready.
    pub(crate) async fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_with(directory, arguments, &[]).await
    }

    /// Starts a process with environment variables, and waits until it is ready.
    pub(crate) async fn start_with(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_gatepost"));
        Self::start_program(program, directory, arguments, environment).await
    }

    /// Starts a process with a standard output that is read, and waits until it is ready.
    pub(crate) async fn start_with_stdout(directory: &Path, arguments: &[&str], stdout: Stdio) -> Self {
        let arguments: Vec<&str> = arguments.iter().copied().chain(ANY_PORTS).collect();
        Self::spawn_with_stdout(command(directory, &arguments), stdout).await
    }

    /// Starts another program, such as an earlier release, and waits until it is ready.
    pub(crate) async fn start_program(
        program: &Path,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let arguments: Vec<&str> = arguments.iter().copied().chain(ANY_PORTS).collect();
        let mut command = command_of(program, directory, &arguments);
        command.env("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true").envs(environment.iter().copied());
        Self::spawn(command).await
    }

    /// Starts a process whose admin API listens at an address, and waits until it is ready.
    pub(crate) async fn start_at_admin(directory: &Path, admin: &str, arguments: &[&str]) -> Self {
        let listen = ["--listen", "127.0.0.1:0", "--admin-listen", admin, "--ops-listen", "127.0.0.1:0"];
        let arguments: Vec<&str> = arguments.iter().copied().chain(listen).collect();
        let mut command = command(directory, &arguments);
        // Without it, only loopback addresses are accepted.
        command.env("GATEPOST_CONTROL_PLANE__BEHIND_TLS_PROXY", "true");
        Self::spawn(command).await
    }

    /// Starts a process that listens on all interfaces, as in a container, and waits until it is ready.
    pub(crate) async fn start_on_all_interfaces(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments: Vec<&str> = arguments.iter().copied().chain(ANY_PORTS_ALL_INTERFACES).collect();
        let mut command = command(Path::new(EMPTY_DIRECTORY), &arguments);
        command.envs(environment.iter().copied());
        Self::spawn(command).await
    }

    /// Starts a process whose standard error cannot be written, and waits until it is ready.
    pub(crate) async fn start_logging_to(directory: &Path, arguments: &[&str], stderr: Stderr) -> Self {
        let addresses = [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let texts = addresses.map(|address| address.to_string());
        let listen = ["--listen", &texts[0], "--admin-listen", &texts[1], "--ops-listen", &texts[2]];
        let arguments: Vec<&str> = arguments.iter().copied().chain(listen).collect();
        let mut command = command(directory, &arguments);
        command.env("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true").stdout(Stdio::null());
        command.stderr(match stderr {
            Stderr::Full => Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap()),
            Stderr::ReaderGone | Stderr::NeverRead => Stdio::piped(),
        });
        let mut child = command.spawn().unwrap();
        if stderr == Stderr::ReaderGone {
            drop(child.stderr.take());
        }
        let [gateway, admin, ops] = addresses;
        let log = Arc::default();
        let process = Self { child, log, log_reader: None, gateway: Some(gateway), admin: Some(admin), ops };
        process.await_ready().await;
        process
    }

    /// Starts a process without waiting for it. Its operations server listens on the given address.
    pub(crate) fn spawn_without_waiting(mut command: Command, ops: SocketAddr) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (log, log_reader) = collect_lines(child.stderr.take().unwrap());
        Self { child, log, log_reader: Some(log_reader), gateway: None, admin: None, ops }
    }

    /// Waits until the process has exited, and returns its exit code. Returns none if a signal killed it.
    pub(crate) fn await_exit(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        if let Some(reader) = self.log_reader.take() {
            reader.join().unwrap();
        }
        code
    }

    /// Returns whether the process has not exited yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the log has a line that contains a text.
    pub(crate) async fn await_log(&self, text: &str) {
        for _ in 0..MAX_ATTEMPTS {
            if self.log().iter().any(|line| line.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{text:?} was never logged: {}", self.log().join("\n"));
    }

    /// Runs `up` on a disk of the given size in MiB, which is mounted at a directory in the process' own mount
    /// namespace.
    pub(crate) async fn up_on_small_disk(directory: &Path, mib: u32, upstream: &str) -> Self {
        let arguments: Vec<&str> = ["up", "--upstream", upstream].into_iter().chain(ANY_PORTS).collect();
        let program = command(directory, &arguments);
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            "mount -t tmpfs -o size=$0m tmpfs $1 && cd $1 && shift && exec $@",
        ]);
        command.arg(mib.to_string()).arg(directory).arg(program.get_program()).args(program.get_args());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("GATEPOST_WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true");
        Self::spawn(command).await
    }

    /// Runs `up` with its own `/etc/hosts`, which can be rewritten, and without a name server. Does not wait until it is
    /// ready.
    pub(crate) async fn up_with_hosts(directory: &Path, hosts: &Path) -> Self {
        let arguments: Vec<&str> = ["up"].into_iter().chain(ANY_PORTS).collect();
        let program = command(directory, &arguments);
        let name_servers = directory.join("resolv.conf");
        std::fs::write(&name_servers, "nameserver 127.0.0.1\n").unwrap();
        let mut command = Command::new("unshare");
        let script = "mount --bind $0 /etc/hosts && mount --bind $1 /etc/resolv.conf && cd $2 && shift 2 && exec $@";
        command.args(["--mount", "--map-root-user", "sh", "-c", script]);
        command.arg(hosts).arg(&name_servers).arg(directory);
        command.arg(program.get_program()).args(program.get_args());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        Self::spawn_unready(command, Stdio::null()).await
    }

    /// Returns a path through which a file can be accessed as the process sees it.
    pub(crate) fn path_in_process(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Starts a process to which a listening socket was handed over under a name, as systemd does, and waits until it is
    /// ready.
    pub(crate) async fn start_with_socket(
        directory: &Path,
        arguments: &[&str],
        name: &str,
        socket: &TcpListener,
    ) -> Self {
        Self::spawn(command_with_socket(directory, arguments, name, socket)).await
    }

    /// Starts a process by another program, which names the sockets, and waits until it is ready.
    pub(crate) async fn start_by(mut starter: Command, directory: &Path, arguments: &[&str]) -> Self {
        let arguments: Vec<&str> = arguments.iter().copied().chain(ANY_PORTS).collect();
        let program = command(directory, &arguments);
        starter.arg(program.get_program()).args(program.get_args()).current_dir(directory);
        Self::spawn(starter).await
    }

    async fn spawn(command: Command) -> Self {
        Self::spawn_with_stdout(command, Stdio::null()).await
    }

    async fn spawn_with_stdout(command: Command, stdout: Stdio) -> Self {
        let process = Self::spawn_unready(command, stdout).await;
        process.await_ready().await;
        process
    }

    async fn spawn_unready(mut command: Command, stdout: Stdio) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(stdout).spawn().unwrap();
        // It holds the other end of that output.
        drop(command);
        let (log, log_reader) = collect_lines(child.stderr.take().unwrap());
        let addresses = addresses(&log).await;
        Self {
            child,
            log,
            log_reader: Some(log_reader),
            gateway: addresses.get("the gateway listens").copied(),
            admin: addresses.get("the admin API listens").copied(),
            ops: addresses["started"],
        }
    }

    pub(crate) async fn await_ready(&self) {
        for _ in 0..MAX_ATTEMPTS {
            let response = crate::admin::client().get(format!("http://{}/readyz", self.ops)).send().await;
            if response.is_ok_and(|response| response.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never ready: {}", self.log().join("\n"));
    }

    /// Returns a URL of the gateway.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.unwrap())
    }

    /// Returns the log lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Clears the log of a long-running process.
    #[cfg(feature = "long")]
    pub(crate) fn clear_log(&self) {
        self.log.lock().unwrap().clear();
    }

    /// Returns the resident memory.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns status and body of `/readyz`.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let response = crate::admin::client().get(format!("http://{}/readyz", self.ops)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Waits until the body of `/readyz` is as it should be. It is reported once a second.
    pub(crate) async fn await_readiness(&self, is_expected: impl Fn(&str) -> bool) {
        for _ in 0..MAX_ATTEMPTS {
            if is_expected(&self.readiness().await.1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never as expected: {}", self.readiness().await.1);
    }

    /// Returns the body of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        crate::admin::client().get(format!("http://{}/metrics", self.ops)).send().await.unwrap().text().await.unwrap()
    }

    /// Returns the value of a metric, whose name includes its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().to_owned();
        line.parse().unwrap()
    }

    /// Waits until a metric has a value. A request is counted after its response.
    pub(crate) async fn await_metric(&self, name: &str, value: f64) {
        for _ in 0..MAX_ATTEMPTS {
            if (self.metric(name).await - value).abs() <= f64::EPSILON {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} was never {value}: {}", self.metrics().await);
    }

    /// Sends SIGTERM, and returns the exit code. The log is complete afterwards.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.await_exit()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send_signal(self.pid(), signal);
    }

    /// Kills the process with SIGKILL, like a crash.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Gatepost {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects the lines of a log in a thread.
fn collect_lines(stderr: ChildStderr) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let reader = thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    (log, reader)
}

/// Returns the addresses that a process logs at its start, by log message.
async fn addresses(log: &Mutex<Vec<String>>) -> HashMap<String, SocketAddr> {
    for _ in 0..MAX_ATTEMPTS {
        let mut addresses = HashMap::new();
        for line in log.lock().unwrap().iter() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let address = line["address"].as_str().or(line["ops"].as_str()).and_then(|text| text.parse().ok());
            if let (Some(message), Some(address)) = (line["message"].as_str(), address) {
                // Of several listeners, the first.
                addresses.entry(message.to_owned()).or_insert(address);
            }
        }
        if addresses.contains_key("started") {
            return addresses;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("did not start: {}", log.lock().unwrap().join("\n"));
}

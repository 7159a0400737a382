//! redis-server process.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::free_port;
use crate::signal::send_signal;

/// Environment variable with the program to start instead of `redis-server`: another version, or Valkey.
const PROGRAM_VARIABLE: &str = "TEST_REDIS_SERVER";
/// User and password of `redis-cli`, replicas and sentinels on a server with an access control list.
pub(crate) const ADMIN: &str = "admin";
/// Number of attempts, 20 ms apart, until a wait fails.
const MAX_TRIES: u32 = 500;

/// redis-server with an append-only file, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
    acl: Option<Acl>,
    /// Environment variables of the process, besides those of the test.
    environment: Vec<(String, String)>,
}

/// Access control list in a file. It contains an additional user with which tests manage the server.
#[derive(Debug)]
struct Acl {
    text: String,
    file: NamedTempFile,
}

impl Acl {
    fn new(text: &str) -> Self {
        let file = NamedTempFile::new().expect("a temporary file can be created");
        let lines = format!("{}\nuser {ADMIN} on >{ADMIN} ~* &* +@all\n", text.trim_end());
        std::fs::write(file.path(), lines).expect("our own file can be written");
        Self { text: text.to_owned(), file }
    }

    fn arguments(&self) -> [String; 6] {
        let file = self.file.path().display().to_string();
        ["--aclfile", &file, "--masteruser", ADMIN, "--masterauth", ADMIN].map(str::to_owned)
    }
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If redis-server is not installed or does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with additional arguments.
    ///
    /// # Panics
    /// If redis-server is not installed or does not start.
    pub fn start_with(extra_arguments: &[String]) -> Self {
        Self::start_with_acl_and_arguments(None, extra_arguments)
    }

    /// Starts a server with an access control list, as the lines of an ACL file.
    ///
    /// # Panics
    /// If redis-server is not installed or does not start.
    pub fn start_with_acl(acl: &str) -> Self {
        Self::start_with_acl_and_arguments(Some(acl), &[])
    }

    /// Starts a server with an optional access control list and additional arguments.
    pub(crate) fn start_with_acl_and_arguments(acl: Option<&str>, extra_arguments: &[String]) -> Self {
        Self::run(acl.map(Acl::new), |port, directory| {
            let port = port.to_string();
            let base_arguments = ["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes", "--save", "", "--dir"];
            let base_arguments = base_arguments.into_iter().map(str::to_owned).chain([directory.display().to_string()]);
            base_arguments.chain(extra_arguments.iter().cloned()).collect()
        })
    }

    /// Starts a server with the contents of an RDB file.
    ///
    /// # Panics
    /// If the file cannot be copied, or redis-server does not start.
    pub fn start_from(rdb: &Path) -> Self {
        let server = Self::start_configured(|port, directory| {
            std::fs::copy(rdb, directory.join("dump.rdb")).expect("the file can be copied");
            let port = port.to_string();
            let base_arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"];
            base_arguments.into_iter().map(str::to_owned).chain([directory.display().to_string()]).collect()
        });
        // With appendonly at the start, Redis would only read the append-only file.
        assert_eq!(server.redis_cli(&["config", "set", "appendonly", "yes"]), "OK");
        server
    }

    /// Starts a replica of this server, and waits until it is in sync.
    ///
    /// # Panics
    /// If the replica does not get in sync.
    pub fn start_replica(&self) -> Self {
        assert_eq!(self.redis_cli(&["config", "set", "repl-diskless-sync-delay", "0"]), "OK");
        let acl = self.acl.as_ref().map(|acl| acl.text.as_str());
        let replica =
            Self::start_with_acl_and_arguments(acl, &["--replicaof".to_owned(), format!("127.0.0.1 {}", self.port)]);
        for _ in 0..MAX_TRIES {
            if self.redis_cli(&["info", "replication"]).contains("state=online") {
                return replica;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the replica did not get in sync");
    }

    /// Starts a server whose arguments are computed from its port and directory.
    pub(crate) fn start_configured(arguments: impl FnOnce(u16, &Path) -> Vec<String>) -> Self {
        Self::run(None, arguments)
    }

    fn run(acl: Option<Acl>, arguments: impl FnOnce(u16, &Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let port = free_port();
        let mut arguments = arguments(port, directory.path());
        arguments.extend(acl.iter().flat_map(Acl::arguments));
        let mut server = Self { port, directory, arguments, process: None, acl, environment: Vec::new() };
        server.resume();
        server
    }

    /// Sends a signal to the process, see [`send_signal`].
    ///
    /// # Panics
    /// If the process does not run.
    pub fn signal(&self, signal: &str) {
        send_signal(self.process.as_ref().expect("the server runs").id(), signal);
    }

    /// Runs a command with `redis-cli`, and returns its output.
    ///
    /// # Panics
    /// If redis-cli is not installed.
    pub fn redis_cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port]).args(self.credentials()).args(command);
        let output = cli.output();
        String::from_utf8_lossy(&output.expect("redis-cli is installed").stdout).trim_end().to_owned()
    }

    /// Returns the arguments with which `redis-cli` may run all commands.
    pub(crate) fn credentials(&self) -> &'static [&'static str] {
        match self.acl {
            Some(_) => &["--user", ADMIN, "--pass", ADMIN, "--no-auth-warning"],
            None => &[],
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills the server like a crash, after waiting until all acknowledged writes are in the append-only file.
    pub fn kill(&mut self) {
        self.await_aof_written();
        self.kill_process();
    }

    /// Waits until the append-only file is complete. While a background thread syncs the file, Redis buffers new writes
    /// in memory, and acknowledges them nevertheless.
    fn await_aof_written(&self) {
        let is_written = || {
            let info = self.redis_cli(&["info", "persistence"]);
            !info.contains("aof_enabled:1\r") || info.contains("aof_buffer_length:0\r")
        };
        for _ in (0..MAX_TRIES).take_while(|_| self.process.is_some() && !is_written()) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill_process(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child can be killed");
            process.wait().expect("our own child can be waited for");
        }
    }

    /// Starts the server again on the same port with the same files.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn resume(&mut self) {
        let process = self.spawn();
        let pid = process.id();
        self.process = Some(process);
        self.await_ready(pid);
    }

    /// Adds arguments, which apply from the next start.
    #[must_use]
    pub fn with_arguments(mut self, extra_arguments: &[&str]) -> Self {
        self.arguments.extend(extra_arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Adds environment variables, which apply from the next start.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(&str, String)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self
    }

    /// Kills the server and starts it again without waiting until it has loaded its files.
    ///
    /// # Panics
    /// If redis-server is not installed.
    pub fn restart_without_waiting(&mut self) {
        self.kill();
        self.process = Some(self.spawn());
    }

    /// Kills the server and removes its files, so that it restarts empty.
    ///
    /// # Panics
    /// If the files cannot be removed.
    pub fn erase(&mut self) {
        self.kill_process();
        std::fs::remove_dir_all(self.directory.path()).expect("our own files can be removed");
        std::fs::create_dir(self.directory.path()).expect("our own directory can be created");
    }

    /// Copies the files of the server, after waiting until all acknowledged writes are on disk.
    ///
    /// # Panics
    /// If the files cannot be copied.
    pub fn save(&self) -> TempDir {
        self.await_aof_written();
        let saved = tempfile::tempdir().expect("a temporary directory can be created");
        copy_directory(self.directory.path(), saved.path());
        saved
    }

    /// Restores a copy, which discards all writes since then, and starts the server again.
    ///
    /// # Panics
    /// If the files cannot be copied or the server does not start.
    pub fn restore(&mut self, saved: &TempDir) {
        self.erase();
        copy_directory(saved.path(), self.directory.path());
        self.resume();
    }

    fn spawn(&self) -> Child {
        let mut command = Command::new(program());
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("the server's program can be started")
    }

    /// Waits until the started process responds, and not another one on the same port.
    fn await_ready(&self, pid: u32) {
        for _ in 0..MAX_TRIES {
            if self.ready_pid().is_some_and(|ready_pid| ready_pid == pid.to_string()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not respond on port {}", self.port);
    }

    /// Returns none while the server loads its files: it responds then, but without data.
    fn ready_pid(&self) -> Option<String> {
        let info = self.redis_cli(&["info"]);
        let is_loading = info.lines().any(|line| line.trim() == "loading:1");
        let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        pid.filter(|_| !is_loading).map(|pid| pid.trim().to_owned())
    }
}

/// Returns the program of servers and sentinels.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration that could read it")]
fn program() -> OsString {
    std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| "redis-server".into())
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("our own files can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            std::fs::create_dir_all(&target).expect("our own directory can be written");
            copy_directory(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("our own files can be copied");
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill_process();
    }
}

//! A redis-server process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::free_port;

/// How often a starting server is asked, 20 ms apart, before it is given up.
const MAX_TRIES: u32 = 500;

/// A redis-server with an append-only file, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// If redis-server is not installed or does not start.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut server = Self { port: free_port(), directory, process: None };
        server.resume();
        server
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills it as a crash would. What it acknowledged is in its append-only file.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child can be killed");
            process.wait().expect("our own child can be waited for");
        }
    }

    /// Starts it again on the same port with the same files.
    ///
    /// # Panics
    /// If it does not start.
    pub fn resume(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""])
            .arg("--dir")
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let pid = process.id();
        self.process = Some(process);
        self.await_answer(pid);
    }

    /// Takes its files away, so that it comes back empty.
    ///
    /// # Panics
    /// If the files cannot be removed.
    pub fn erase(&mut self) {
        self.kill();
        self.directory = tempfile::tempdir().expect("a temporary directory can be made");
    }

    /// Waits until the process that we started answers, and not another one on its port.
    fn await_answer(&self, pid: u32) {
        for _ in 0..MAX_TRIES {
            if self.answering_pid().is_some_and(|answering| answering == pid.to_string()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server did not answer on port {}", self.port);
    }

    fn answering_pid(&self) -> Option<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"INFO server\r\nQUIT\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix("process_id:")).map(str::to_owned)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

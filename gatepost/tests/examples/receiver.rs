//! Receivers of docs/examples, run with the commands of README.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::NamedTempFile;

use crate::delivery::Delivery;

pub(crate) const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
/// Number of attempts to connect, 50 ms apart, until a receiver counts as failed. Some are compiled first.
const MAX_ATTEMPTS: u32 = 2400;

/// Returns each language with its command, from the table in README.
pub(crate) fn commands() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(format!("{DIRECTORY}/README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (language, command) = (cells.next()?, cells.next()?);
        Some((language.to_owned(), command.strip_prefix('`')?.strip_suffix('`')?.to_owned()))
    });
    rows.collect()
}

/// Running receiver, killed when dropped.
pub(crate) struct Receiver {
    process: Child,
    port: u16,
    log: NamedTempFile,
}

impl Receiver {
    /// Starts the receiver in a language, and waits until it listens. Returns its status if it exits before.
    pub(crate) async fn start(language: &str, port: u16, secret: &str) -> Result<Self, (ExitStatus, String)> {
        let commands = commands();
        let (_, command) = commands.iter().find(|(found, _)| found == language).unwrap();
        let log = NamedTempFile::new().unwrap();
        let output = log.reopen().unwrap();
        let process = Command::new("sh")
            .args(["-c", command])
            .current_dir(DIRECTORY)
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", port.to_string())
            .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go"))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // The program may be a child of the command.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut receiver = Self { process, port, log };
        for _ in 0..MAX_ATTEMPTS {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(receiver);
            }
            if let Some(status) = receiver.process.try_wait().unwrap() {
                return Err((status, receiver.log()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{language} does not listen: {}", receiver.log());
    }

    /// Sends a delivery to the receiver, and returns the status of its response.
    pub(crate) async fn status_of(&self, delivery: &Delivery) -> u16 {
        let mut request = crate::admin::client().post(format!("http://127.0.0.1:{}/", self.port));
        for (name, value) in delivery.headers() {
            request = request.header(name, value);
        }
        // Also for an empty body.
        request = request.header("content-length", delivery.body.len());
        let response = request.header("content-type", "application/json").body(delivery.body.clone()).send().await;
        response.unwrap_or_else(|error| panic!("{error:?}: {}", self.log())).status().as_u16()
    }

    /// Returns what the receiver has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

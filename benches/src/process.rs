//! Processes of the benchmarks, each with its own log, killed when dropped.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::machine;

/// Number of attempts until a start fails.
const MAX_TRIES: u32 = 1500;
/// Interval between two attempts.
const TRY_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process whose output is written to files of the given name.
    pub(crate) fn start(mut command: Command, directory: &Path, name: &str) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        // In append mode, so that the file can be truncated while it is written.
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let (stdout, stderr) = (File::create(directory.join(format!("{name}.out")))?, open()?);
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the user and system time, including its descendants.
    pub(crate) fn cpu_time(&self) -> Duration {
        machine::process_cpu_time(self.pid())
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Truncates the log, so that an access log does not fill the disk.
    pub(crate) fn truncate_log(&self) -> anyhow::Result<()> {
        Ok(OpenOptions::new().write(true).open(&self.log)?.set_len(0)?)
    }

    /// Waits until the process listens on an address.
    pub(crate) fn await_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.await_condition(|| TcpStream::connect(address).is_ok())
    }

    /// Waits until a condition is met. Fails if the process exits.
    pub(crate) fn await_condition(&mut self, mut is_met: impl FnMut() -> bool) -> anyhow::Result<()> {
        for _ in 0..MAX_TRIES {
            if is_met() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the process exited ({status}): {}", self.log());
            }
            std::thread::sleep(TRY_INTERVAL);
        }
        bail!("the process did not get ready: {}", self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first, so that the process can stop its children. It may have exited already.
        let _ = signal(self.pid(), "-TERM");
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TRY_INTERVAL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, signal: &str) -> anyhow::Result<()> {
    Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status().context("cannot run kill")?;
    Ok(())
}

/// Finds a program in the usual directories.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    directories.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
}

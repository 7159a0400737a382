//! Processes that are measured, or that something is measured with: each with a log of its own, gone when dropped.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::machine;

/// How often a starting process is asked, 20 ms apart, before it is given up.
const MAX_TRIES: u32 = 1500;
/// Between two of these.
const TRY_INTERVAL: Duration = Duration::from_millis(20);

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts one that writes what it has to say into a file of that name.
    pub(crate) fn start(mut command: Command, directory: &Path, name: &str) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        // To append, so that the file can be emptied while it is written.
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let (stdout, stderr) = (File::create(directory.join(format!("{name}.out")))?, open()?);
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
        let child = child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Its id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// User and system time, with that of all that it has started.
    pub(crate) fn cpu_time(&self) -> Duration {
        machine::process_cpu_time(self.pid())
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Empties its log, so that an access log does not fill the disk.
    pub(crate) fn truncate_log(&self) -> anyhow::Result<()> {
        Ok(OpenOptions::new().write(true).open(&self.log)?.set_len(0)?)
    }

    /// Waits until it listens there.
    pub(crate) fn await_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.await_condition(|| TcpStream::connect(address).is_ok())
    }

    /// Waits until something is so, for as long as it runs.
    pub(crate) fn await_condition(&mut self, mut is_met: impl FnMut() -> bool) -> anyhow::Result<()> {
        for _ in 0..MAX_TRIES {
            if is_met() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status}): {}", self.log());
            }
            std::thread::sleep(TRY_INTERVAL);
        }
        bail!("it never was ready: {}", self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, so that it ends what it has started; it may have ended before.
        drop(signal(self.pid(), "-TERM"));
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TRY_INTERVAL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: &str) -> anyhow::Result<()> {
    Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status().context("cannot run kill")?;
    Ok(())
}

/// Whether a program can be found.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    directories.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
}

//! Programs that run under callgrind, and their counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Fails with the command to install valgrind if it is missing.
pub(super) fn check_installed() -> anyhow::Result<()> {
    let version = Command::new("valgrind").arg("--version").output();
    if version.is_ok_and(|version| version.status.success()) {
        return Ok(());
    }
    bail!("valgrind is not installed: apt-get install valgrind")
}

/// Program that runs under callgrind.
#[derive(Debug)]
pub(super) struct CallgrindRun {
    pub(super) command: Command,
    file: PathBuf,
}

impl CallgrindRun {
    /// Prepares a run whose counts are written to a file of the given name.
    pub(super) fn new(program: &Path, directory: &Path, name: &str) -> Self {
        let file = directory.join(format!("{name}.callgrind"));
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(program);
        Self { command, file }
    }

    /// Runs the program to its end, and returns the number of instructions.
    pub(super) fn run(mut self) -> anyhow::Result<u64> {
        let output = self.command.output().context("cannot run valgrind")?;
        if !output.status.success() {
            bail!("{:?} failed: {}", self.command, String::from_utf8_lossy(&output.stderr));
        }
        self.instructions()
    }

    /// Returns the number of instructions, after the program has exited.
    pub(super) fn instructions(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(&self.file).context("callgrind wrote no file")?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.trim().parse().ok()).context("callgrind wrote no total")
    }
}

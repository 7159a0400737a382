//! Running a program under callgrind, and reading what it counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Tells what to install where it is missing.
pub(super) fn check_installed() -> anyhow::Result<()> {
    let version = Command::new("valgrind").arg("--version").output();
    if version.is_ok_and(|version| version.status.success()) {
        return Ok(());
    }
    bail!("valgrind is not installed: apt-get install valgrind")
}

/// A program that callgrind runs.
#[derive(Debug)]
pub(super) struct CallgrindRun {
    pub(super) command: Command,
    file: PathBuf,
}

impl CallgrindRun {
    /// One whose counts are written under that name.
    pub(super) fn new(program: &Path, directory: &Path, name: &str) -> Self {
        let file = directory.join(format!("{name}.callgrind"));
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(program);
        Self { command, file }
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> anyhow::Result<u64> {
        let output = self.command.output().context("cannot run valgrind")?;
        if !output.status.success() {
            bail!("{:?} failed: {}", self.command, String::from_utf8_lossy(&output.stderr));
        }
        self.instructions()
    }

    /// What was counted, once the program has ended.
    pub(super) fn instructions(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(&self.file).context("callgrind has written nothing")?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.trim().parse().ok()).context("callgrind has counted nothing")
    }
}

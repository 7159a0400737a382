//! Wall clock of processes that a test moves while they run.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Source of the library that the processes preload.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/delivery_faults/clock_shift.c");

/// Wall clock with an offset. The processes that use it must end before it is dropped.
pub(super) struct ShiftedClock {
    directory: TempDir,
}

impl ShiftedClock {
    /// Builds the library, with a clock that is right at first.
    pub(super) fn build() -> Self {
        let clock = Self { directory: tempfile::tempdir().unwrap() };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(clock.library()).arg(SOURCE);
        assert!(compiler.status().unwrap().success(), "{SOURCE} was not compiled");
        std::fs::write(clock.offset_file(), 0_i64.to_ne_bytes()).unwrap();
        clock
    }

    /// Returns the environment of a process that uses the clock.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.display().to_string();
        [("LD_PRELOAD", text(&self.library())), ("CLOCK_SHIFT_FILE", text(&self.offset_file()))]
    }

    /// Sets how far the clock is ahead, or behind if negative. It steps at once.
    pub(super) fn set_ahead_s(&self, ahead_s: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.offset_file()).unwrap();
        file.write_all_at(&ahead_s.to_ne_bytes(), 0).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("clock_shift.so")
    }

    fn offset_file(&self) -> PathBuf {
        self.directory.path().join("offset")
    }
}

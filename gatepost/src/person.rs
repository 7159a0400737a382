//! The person who started this process at a terminal. What is said here is in no log.

use std::io::{self, IsTerminal as _};

/// A terminal that shows an output of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    Stderr,
    /// Standard error leads elsewhere, such as to a file.
    Stdout,
}

impl Terminal {
    /// Returns the terminal of this process, if it has one.
    pub(crate) fn find() -> Option<Self> {
        if io::stderr().is_terminal() { Some(Self::Stderr) } else { io::stdout().is_terminal().then_some(Self::Stdout) }
    }

    /// Prints a line. A terminal that is paused delays this by at most one second.
    pub(crate) fn print(self, text: &str) {
        let line = format!("{text}\n");
        match self {
            Self::Stderr => gatepost_runtime::write_to_stderr(line),
            Self::Stdout => gatepost_runtime::write_to_stdout(line),
        }
    }
}

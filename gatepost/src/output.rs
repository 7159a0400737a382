//! What a command prints. A standard output that takes nothing is an error like others, and one that nobody reads does not
//! hold up the end of a process.

use std::io::{self, Write as _};

use anyhow::Context;

/// Prints a line to standard output.
///
/// # Errors
///
/// Where it cannot be written: tell what was done all the same.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.context("standard output cannot be written")
}

/// Prints a line to standard error, if it takes one within a second.
pub(crate) fn message(text: &str) {
    gatepost_runtime::write_to_stderr(format!("gatepost: {text}\n"));
}

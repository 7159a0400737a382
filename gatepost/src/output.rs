//! Output of commands. A standard output that cannot be written is an error like any other, and one that is not read
//! does not block the exit of a process.

use std::io::{self, Write as _};

use anyhow::Context;

/// Prints a line to standard output.
///
/// # Errors
///
/// If standard output cannot be written. Add the result of the command as context.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.context("standard output cannot be written")
}

/// Prints a line to standard error. Gives up after one second if it cannot be written.
pub(crate) fn print_error_line(text: &str) {
    gatepost_runtime::write_to_stderr(format!("gatepost: {text}\n"));
}

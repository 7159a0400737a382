//! What a command prints. A standard output that takes nothing is an error like others, and one that nobody reads does not
//! hold up the end of a process.

use std::io::{self, Write as _};

use anyhow::Context;

/// Prints a line to standard output.
///
/// # Errors
///
/// Where it cannot be written: tell what was done all the same.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.context("standard output cannot be written")
}

/// Prints a line to standard error, if it takes one within a second.
pub(crate) fn print_error_line(text: &str) {
    gatepost_runtime::write_to_stderr(format!("gatepost: {text}\n"));
}

/// An error and its causes as one sentence. A cause whose text its effect has told already is left out.
pub(crate) fn error_chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_repeated() {
        let repeated_by_context = |cause: &str| anyhow::anyhow!("{cause}").context(format!("cannot connect ({cause})"));
        let error = repeated_by_context("timed out").context("the store");
        assert_eq!(error_chain(&error), "the store: cannot connect (timed out)");
        assert_eq!(error_chain(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}

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

/// Formats an error and its causes in one line. A cause that is already part of the text is omitted.
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

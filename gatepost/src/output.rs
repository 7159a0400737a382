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

/// An error and its causes as one sentence. A cause whose text its effect has told already is left out.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let told_by_its_effect = |cause: &str| anyhow::anyhow!("{cause}").context(format!("cannot connect ({cause})"));
        let error = told_by_its_effect("timed out").context("the store");
        assert_eq!(sentence(&error), "the store: cannot connect (timed out)");
        assert_eq!(sentence(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}

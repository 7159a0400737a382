//! Failures of the operating system in plain words.

use std::error::Error;
use std::io;

/// How the standard library begins the text of a failed lookup, whose kind has no name.
const LOOKUP_FAILURE: &str = "failed to lookup address information";

/// Returns the text of an error, without its causes. Failures of the operating system have words of ours in place of its
/// own, which differ between systems and end with a number.
pub fn plain_words(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    if text.starts_with(LOOKUP_FAILURE) {
        return "host not found".to_owned();
    }
    let is_of_system = |error: &&io::Error| error.raw_os_error().is_some();
    let Some(error) = error.downcast_ref::<io::Error>().filter(is_of_system) else { return text };
    match words_of_io(error.kind()) {
        Some(words) => words.to_owned(),
        None => text.split(" (os error ").next().unwrap_or_default().to_lowercase(),
    }
}

/// Returns the words for a failure of a connection. `None` for other kinds of failures.
#[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of IO errors are not exhaustive")]
fn words_of_io(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset => Some("connection reset"),
        io::ErrorKind::ConnectionAborted => Some("connection aborted"),
        io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Some("closed by the other side"),
        io::ErrorKind::HostUnreachable => Some("host not reachable"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Some("network not reachable"),
        io::ErrorKind::TimedOut => Some("connection timed out"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_connections_have_plain_words() {
        for (code, words) in [
            (111, "connection refused"),
            (104, "connection reset"),
            (103, "connection aborted"),
            (32, "closed by the other side"),
            (113, "host not reachable"),
            (101, "network not reachable"),
            (110, "connection timed out"),
            (24, "too many open files"),
        ] {
            // Numbers of Linux.
            assert_eq!(plain_words(&io::Error::from_raw_os_error(code)), words);
        }
        let lookup = format!("{LOOKUP_FAILURE}: Name or service not known");
        assert_eq!(plain_words(&io::Error::other(lookup)), "host not found");
        assert_eq!(plain_words(&io::Error::other("invalid certificate: Expired")), "invalid certificate: Expired");
    }
}

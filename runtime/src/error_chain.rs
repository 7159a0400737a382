//! Errors as text for people: an error and its causes in one line.

use std::error::Error;

use crate::plain_words::plain_words;

/// Returns an error with its causes, as `what failed: why: why`, each in plain words.
///
/// The Display of an error says its own level only, so log lines and messages print this text. A cause that is already
/// part of the text is omitted: some libraries print the cause of an error and also return it as its source.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = plain_words(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let (own_text, words) = (cause.to_string(), plain_words(cause));
        if text.contains(&own_text) {
            text = text.replace(&own_text, &words);
        } else if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fmt, io};

    /// An error with a cause.
    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    fn chain(texts: &[&'static str]) -> String {
        let error = texts.iter().rev().fold(None, |cause, text| Some(Box::new(Layer(text, cause))));
        error_chain(&*error.unwrap())
    }

    #[test]
    fn every_cause_is_printed_once() {
        assert_eq!(chain(&["a"]), "a");
        assert_eq!(chain(&["a", "b", "c"]), "a: b: c");
        assert_eq!(
            chain(&["the store", "cannot connect (timed out)", "timed out"]),
            "the store: cannot connect (timed out)"
        );
    }

    /// An error that prints its cause, and also returns it.
    #[derive(Debug)]
    struct Connecting(io::Error);

    impl fmt::Display for Connecting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "cannot connect: {}", self.0)
        }
    }

    impl Error for Connecting {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_of_the_system_has_plain_words_wherever_it_is_printed() {
        let refused = || io::Error::from_raw_os_error(111);
        assert_eq!(error_chain(&refused()), "connection refused");
        assert_eq!(error_chain(&Connecting(refused())), "cannot connect: connection refused");
    }
}

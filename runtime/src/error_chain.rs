//! Errors as text for people: an error and its causes in one line.

use std::error::Error;

/// Returns an error with its causes, as `what failed: why: why`.
///
/// The Display of an error says its own level only, so log lines and messages print this text. A cause that is already
/// part of the text is omitted: some libraries print the cause of an error and also return it as its source.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

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
}

//! Suggestions for misspelt commands, flags and values. Those of clap can be far-fetched: `store` for `start`.

use clap::error::{ContextKind, ContextValue};
use gatepost_domain::spelling;

/// Kinds of names that clap makes suggestions for: the name that was given, and the suggestion.
const SUGGESTIONS: [(ContextKind, ContextKind); 3] = [
    (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
    (ContextKind::InvalidArg, ContextKind::SuggestedArg),
    (ContextKind::InvalidValue, ContextKind::SuggestedValue),
];

/// Removes suggestions that are not similar to the name that was given.
pub(super) fn remove_dissimilar(mut error: clap::Error) -> clap::Error {
    for (given, suggested) in SUGGESTIONS {
        let is_similar = match (error.get(given), error.get(suggested)) {
            (Some(ContextValue::String(given)), Some(ContextValue::String(one))) => {
                spelling::most_similar(given, [one.as_str()]).is_some()
            }
            (Some(ContextValue::String(given)), Some(ContextValue::Strings(several))) => {
                spelling::most_similar(given, several.iter().map(String::as_str)).is_some()
            }
            _ => true,
        };
        if !is_similar {
            error.remove(suggested);
        }
    }
    error
}

//! States as a word with a dot: never by colour alone.

use gatepost_domain::key::Env;
use maud::{Markup, html};

/// The tone of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Quiet,
    Warning,
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Quiet => "quiet",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
        }
    }
}

pub(crate) fn state(tone: Tone, word: &str) -> Markup {
    html! { span class={ "state " (tone.class()) } { (word) } }
}

pub(crate) fn env(env: Env) -> Markup {
    html! { span.badge.test[env == Env::Test] { (env.as_str()) } }
}

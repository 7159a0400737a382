//! Pages that follow what they show until it has ended. Without a script, the reader reloads.

use maud::{Markup, html};

/// Fetches the page again every two seconds, and shows its content. The page leaves this out when nothing follows any
/// more. `path` is that of the page.
pub(crate) fn often(path: &str) -> Markup {
    html! {
        div hx-get=(path) hx-trigger="every 2s" hx-target="#main" hx-select="#main" hx-swap="outerMorph" {}
    }
}

//! Links between the parts of a list.

use maud::{Markup, html};

/// Links to the first part, if this is a later one, and to the next part. `path` has a query or not.
pub(crate) fn links(path: &str, is_first: bool, next: Option<&str>) -> Markup {
    let separator = if path.contains('?') { '&' } else { '?' };
    let next = next.map(|next| {
        let cursor: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("{path}{separator}after={cursor}")
    });
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label="Parts of the list" {
                @if !is_first { a.button href=(path) { "First" } }
                @if let Some(next) = next { a.button href=(next) rel="next" { "Next" } }
            }
        }
    }
}

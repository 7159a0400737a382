//! Links between the parts of a list.

use gatepost_control_plane::PageRequest;
use maud::{Markup, html};
use serde::Deserialize;

/// Query of a page with one part of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
}

impl ListQuery {
    pub(crate) fn is_first(&self) -> bool {
        self.after.is_none()
    }

    /// Returns the request for a part of at most `limit` entries.
    pub(crate) fn request(self, limit: usize) -> PageRequest {
        PageRequest { after: self.after, limit: Some(limit), ..PageRequest::default() }
    }
}

/// Returns a path with a query of the pairs whose text is not empty.
pub(crate) fn with_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let filled = pairs.into_iter().filter(|(_, text)| !text.trim().is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(filled).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Adds pairs to the query of a path, which has one or not.
pub(crate) fn with_more_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let added = with_query("", pairs);
    if path.contains('?') { format!("{path}{}", added.replacen('?', "&", 1)) } else { format!("{path}{added}") }
}

/// Links to the first part, if this is a later one, and to the next part. `path` has a query or not.
pub(crate) fn links(path: &str, is_first: bool, next: Option<&str>) -> Markup {
    let next = next.map(|next| with_more_query(path, [("after", next)]));
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label="Parts of the list" {
                @if !is_first { a.button href=(path) { "First" } }
                @if let Some(next) = next { a.button href=(next) rel="next" { "Next" } }
            }
        }
    }
}

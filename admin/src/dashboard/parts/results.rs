//! Results of a search that takes longer than a page may: the page shows what was found so far and how far it has
//! looked, and goes on by itself. Without a script, it loads its next part until there is something to see.

use maud::{Markup, html};
use serde::Deserialize;

use super::{number, pager};
use crate::dashboard::root::ROOT;

/// What a search has done before this part of it, in the query of a page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SearchQuery {
    searched: Option<String>,
    shown: Option<String>,
    later: Option<String>,
}

impl SearchQuery {
    /// Returns what was done before a page, which begins without results.
    pub(crate) fn before_page(&self, is_first: bool) -> SoFar {
        SoFar { searched: count(self.searched.as_deref()), shown: 0, is_first }
    }

    /// Returns what was done before a part that is added to a page.
    pub(crate) fn before_part(&self) -> SoFar {
        SoFar {
            searched: count(self.searched.as_deref()),
            shown: count(self.shown.as_deref()),
            is_first: self.later.is_none(),
        }
    }
}

fn count(text: Option<&str>) -> usize {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// How far a search has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SoFar {
    /// Records that were searched.
    searched: usize,
    /// Results on the page.
    shown: usize,
    /// Whether the page has the first results of the list.
    is_first: bool,
}

/// A list that is searched part by part.
pub(crate) struct SearchedList<'a> {
    /// Path of its page below the dashboard, with the query that selects.
    pub(crate) path: &'a str,
    /// What is searched: one, and many.
    pub(crate) nouns: [&'a str; 2],
    /// Results on a page.
    pub(crate) page_size: usize,
    pub(crate) before: SoFar,
}

/// A part of a list, as far as it was searched.
pub(crate) struct SearchedPart {
    pub(crate) found: usize,
    pub(crate) searched: usize,
    /// The cursor at which to go on; none at the end of the list.
    pub(crate) next: Option<String>,
}

/// A search that goes on.
struct Progress {
    /// What was searched so far, in words.
    searched: String,
    /// Results on the page.
    shown: usize,
    /// Address of the page that begins with the next part.
    page: String,
    /// Address of the next part alone.
    part: String,
}

impl Progress {
    /// Says how far the search has come, and makes the page fetch the next part. The last part may be rows alone, which
    /// leave nothing in this place.
    fn markup(&self) -> Markup {
        html! {
            div hx-get=(self.part) hx-trigger="load" hx-target="#rest" hx-swap="innerHTML swapEmpty:true"
                "hx-status:4xx"="swap:none" "hx-status:5xx"="swap:none" {
                p.hint { "Searched " (self.searched) " so far …" }
            }
            div.live-note role="status" hidden { p.hint { "The search has stopped. " a href=(self.page) { "Go on" } } }
        }
    }

    /// Without a script, loads the next part if there is nothing to see, or else links to it. It is no part of what is
    /// added to a page, where scripts would insert it as if there were none.
    fn without_script(&self) -> Markup {
        html! {
            noscript {
                @if self.shown == 0 { meta http-equiv="refresh" content={ "0;url=" (self.page) }; }
                p { a.button href=(self.page) rel="next" { "Go on" } }
            }
        }
    }
}

impl SearchedList<'_> {
    /// Returns how many results the page still has room for.
    pub(crate) fn room(&self) -> usize {
        self.page_size.saturating_sub(self.before.shown).max(1)
    }

    /// Shows the results of a page whose search goes on: `beside` what else was found, and a table to which rows are
    /// added. Returns none if the search has ended, or the page is full.
    pub(crate) fn searching(&self, part: &SearchedPart, beside: &Markup, table: &Markup) -> Option<Markup> {
        let progress = self.progress(part)?;
        Some(html! {
            div.results {
                (beside)
                div.results-table #found { (table) }
                div.results-end #rest { (progress.markup()) }
                div.visually-hidden #outcome role="status" {}
                (progress.without_script())
            }
        })
    }

    /// Adds a part to a page: its rows, and how far the search has come. `nothing` says that the whole list has no
    /// results, `full` where the others are; by default behind a link.
    pub(crate) fn added(&self, part: &SearchedPart, rows: &Markup, nothing: &Markup, full: Option<&Markup>) -> Markup {
        html! {
            @if part.found > 0 {
                hx-partial hx-target="#found tbody" hx-swap="beforeend" { (rows) }
            }
            @match self.progress(part) {
                Some(progress) => (progress.markup()),
                None => (self.end(part, nothing, full)),
            }
        }
    }

    /// Shows how the search has ended, and links to the rest of the list if the page is full.
    fn end(&self, part: &SearchedPart, nothing: &Markup, full: Option<&Markup>) -> Markup {
        let (shown, next) = (self.before.shown + part.found, part.next.as_deref());
        html! {
            hx-partial hx-target="#outcome" hx-swap="innerHTML" {
                "The search has ended. Found: " (number::grouped(shown as u64)) "."
            }
            @if shown == 0 { (nothing) }
            @match full.filter(|_| next.is_some()) {
                Some(full) => (full),
                None => (pager::links(&format!("{ROOT}{}", self.path), self.before.is_first, next)),
            }
        }
    }

    /// Returns how the search goes on; none at its end, or if the page is full.
    fn progress(&self, part: &SearchedPart) -> Option<Progress> {
        let next = part.next.as_deref().filter(|_| part.found < self.room())?;
        let (searched, shown) = (self.before.searched + part.searched, self.before.shown + part.found);
        let (searched_text, shown_text) = (searched.to_string(), shown.to_string());
        let later = if self.before.is_first { "" } else { "true" };
        let position = [("after", next), ("searched", searched_text.as_str())];
        let added = position.into_iter().chain([("shown", shown_text.as_str()), ("later", later)]);
        let [one, many] = self.nouns;
        Some(Progress {
            searched: number::count(searched as u64, one, many),
            shown,
            page: pager::with_more_query(&format!("{ROOT}{}", self.path), position),
            part: pager::with_more_query(&format!("{ROOT}/more{}", self.path), added),
        })
    }
}

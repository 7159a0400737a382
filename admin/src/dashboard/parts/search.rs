//! The search over all: at the top of every page, and on the page of its results.

use maud::{Markup, html};

use crate::dashboard::root::ROOT;

/// Shows the field at the top of a page, which Enter sends.
pub(crate) fn at_top() -> Markup {
    form("", html! {})
}

/// Shows the field with a button.
pub(crate) fn with_button(text: &str) -> Markup {
    form(text, html! { button { "Search" } })
}

/// The text is sent in a body, because it may be the value of a key.
fn form(text: &str, button: Markup) -> Markup {
    html! {
        form.search method="post" action={ (ROOT) "/search" } role="search" aria-label="Search all" {
            label.visually-hidden for="search" { "Search projects, keys and webhooks" }
            input #search name="q" type="search" value=(text) placeholder="Name, ID, or a whole key" autocomplete="off"
                spellcheck="false" data-shortcut="/";
            (button)
        }
    }
}

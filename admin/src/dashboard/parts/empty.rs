//! Empty states, which say what to do next.

use maud::{Markup, html};

pub(crate) fn state(title: &str, next: Markup) -> Markup {
    html! {
        div.empty {
            p.empty-title { (title) }
            (next)
        }
    }
}

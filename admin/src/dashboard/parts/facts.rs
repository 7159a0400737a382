//! Lists of a name and a value.

use maud::{Markup, html};

/// One fact.
pub(crate) type Fact = (&'static str, Markup);

pub(crate) fn list(facts: Vec<Fact>) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// Returns the value of a fact, or a dash in its place.
pub(crate) fn or_dash(value: Option<Markup>) -> Markup {
    value.unwrap_or_else(|| html! { span.none { "–" } })
}

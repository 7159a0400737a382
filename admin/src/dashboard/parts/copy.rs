//! Ids and values with a button that copies them.

use maud::{Markup, html};

/// Shows an id in full, with a button.
pub(crate) fn id(id: &str) -> Markup {
    html! { span.copyable { code { (id) } (button(id, "Copy the id")) } }
}

/// Shows a text in full, with a button. `label` says to screen readers what is copied.
pub(crate) fn text(text: &str, label: &str) -> Markup {
    html! { span.copyable { code { (text) } (button(text, label)) } }
}

fn button(text: &str, label: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) aria-label=(label) hidden { "Copy" } }
}

/// Returns the button alone, for a text beside it.
pub(crate) fn only_button(text: &str, label: &str) -> Markup {
    button(text, label)
}

//! The page after a key was created or rotated: its value, shown once.

use gatepost_domain::record::ApiKey;
use maud::{Markup, html};

use crate::dashboard::one_time::Shown;
use crate::dashboard::parts::copy;
use crate::dashboard::root::ROOT;
use crate::dashboard::snippets;

/// Shows the value of a new key.
pub(crate) fn created(key: &ApiKey, shown: &Shown) -> Markup {
    html! {
        h1 { "Key created" }
        (value(key, shown))
    }
}

/// Shows the new value of a key, which gateways have applied the rotation, a warning if there is one, and the table of all values with their ends.
pub(crate) fn rotated(key: &ApiKey, shown: &Shown, fence: Markup, warning: Markup, values: Markup) -> Markup {
    html! {
        h1 { "Key rotated" }
        (warning)
        (value(key, shown))
        (fence)
        section aria-labelledby="values-heading" {
            h2 #values-heading { "Values" }
            (values)
        }
    }
}

fn value(key: &ApiKey, shown: &Shown) -> Markup {
    let text = shown.secret.expose();
    html! {
        section.card.once aria-labelledby="once-heading" {
            h2 #once-heading { "Copy it now. It is not shown again." }
            output.value { (copy::text(text, "Copy the key")) }
            p.hint { "Later you find the key by its name " strong { (key.name) } ", its mask " code { (key.mask) } ", or its ID " code { (key.id) } "." }
        }
        section aria-labelledby="try-heading" {
            h2 #try-heading { "Try it" }
            (snippets::calls(text))
        }
        p { a.button.primary href={ (ROOT) "/keys/" (key.id) } { "I have copied it" } }
    }
}

//! Calls of the API behind the gateway, in some languages.

use maud::{Markup, html};

use super::parts::copy;

/// What stands for the key in the files.
const KEY: &str = "KEY";

const CALLS: [(&str, &str); 4] = [
    ("curl", include_str!("snippets/curl.txt")),
    ("Node", include_str!("snippets/node.txt")),
    ("Python", include_str!("snippets/python.txt")),
    ("Go", include_str!("snippets/go.txt")),
];

/// Shows calls with a key.
pub(crate) fn calls(key: &str) -> Markup {
    html! {
        p.hint { "Put the address of your gateway in place of " code { "http://127.0.0.1:8080" } "." }
        @for (index, (language, call)) in CALLS.into_iter().enumerate() {
            @let text = call.trim_end().replace(KEY, key);
            details.snippet open[index == 0] name="snippet" {
                summary { (language) }
                div.snippet-body { pre tabindex="0" { code { (text) } } (copy::only_button(&text, "Copy the call")) }
            }
        }
    }
}

//! Calls of the API behind the gateway, and the verification of webhooks, in some languages.

use maud::{Markup, html};

use super::parts::copy;

/// Placeholder of the key in the files.
const KEY: &str = "KEY";

const CALLS: [(&str, &str); 4] = [
    ("curl", include_str!("snippets/curl.txt")),
    ("Node", include_str!("snippets/node.txt")),
    ("Python", include_str!("snippets/python.txt")),
    ("Go", include_str!("snippets/go.txt")),
];

const VERIFICATIONS: [(&str, &str); 3] = [
    ("Node", include_str!("snippets/verify_node.txt")),
    ("Python", include_str!("snippets/verify_python.txt")),
    ("openssl", include_str!("snippets/verify_openssl.txt")),
];

/// Shows calls with a key.
pub(crate) fn calls(key: &str) -> Markup {
    html! {
        p.hint { "Put the address of your gateway in place of " code { "http://127.0.0.1:8080" } "." }
        @for (index, (language, call)) in CALLS.into_iter().enumerate() {
            (snippet(index, language, &call.trim_end().replace(KEY, key), "Copy the call"))
        }
    }
}

/// Shows how a receiver verifies a request. The secret stays in its environment.
pub(crate) fn verification() -> Markup {
    html! {
        p.hint { "Set " code { "WEBHOOK_SECRET" } " to the signing secret. The libraries also refuse requests that are older than 5 minutes." }
        @for (index, (language, text)) in VERIFICATIONS.into_iter().enumerate() {
            (snippet(index, language, text.trim_end(), "Copy the lines"))
        }
    }
}

/// Shows one of several languages; the first is open.
fn snippet(index: usize, language: &str, text: &str, copy_label: &str) -> Markup {
    html! {
        details.snippet open[index == 0] name="snippet" {
            summary { (language) }
            div.snippet-body { pre tabindex="0" { code { (text) } } (copy::only_button(text, copy_label)) }
        }
    }
}

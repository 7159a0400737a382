//! What every page has, whoever sees it: its head, and a frame without navigation.

use maud::{DOCTYPE, Markup, html};

use super::assets::Asset;
use super::root::ROOT;

/// Returns a page without navigation, for visitors that are not signed in and for failures.
pub(crate) fn bare(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare {
                main #main tabindex="-1" {
                    a.brand href=(ROOT) { (mark()) span { "Gatepost" } }
                    (content)
                }
            }
        }
    }
}

/// Returns the head of every page.
pub(crate) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="robots" content="noindex";
            // htmx would add a style element of its own, which the policy of the pages forbids. A live part leaves open what
            // its reader has opened.
            meta name="htmx-config"
                content=r#"{"includeIndicatorCSS":false,"morphIgnore":["data-htmx-powered","open"]}"#;
            title { (title) " · Gatepost" }
            link rel="icon" type="image/svg+xml" href=(Asset::Mark.path());
            link rel="stylesheet" href=(Asset::AppCss.path());
            // Not deferred: it then waits for the whole page before it begins, and so for its extension.
            script src=(Asset::Htmx.path()) {}
            script src=(Asset::HtmxSse.path()) defer {}
            script src=(Asset::AppJs.path()) defer {}
        }
    }
}

pub(crate) fn mark() -> Markup {
    html! { img.mark src=(Asset::Mark.path()) alt="" width="28" height="28"; }
}

//! The place of a live part in its page: what connects it to its stream, and what says that it is not followed.

use gatepost_control_plane::EventCursor;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::part::{END, Outlook, Part};
use crate::dashboard::root::ROOT;

/// What a browser without a script does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutScript {
    /// Links to the page.
    Link,
    /// Loads the page again every two seconds.
    Reload,
}

/// Shows a part that the stream for the page at `path` replaces. `path` has a query or not.
pub(crate) fn region(path: &str, part: &Part, without_script: WithoutScript) -> Markup {
    html! {
        @match part.outlook {
            Outlook::Final => (part.markup),
            Outlook::Open => {
                div.live hx-sse:connect=(stream_path(path)) hx-sse:close=(END) hx-swap="innerMorph"
                    "hx-status:4xx"="swap:none" "hx-status:5xx"="swap:none" { (part.markup) }
                (not_followed(path, without_script))
            }
        }
    }
}

/// Shows a list, which a script can hold still, to whose only table the stream for the page at `path` adds rows, those after a cursor, at the top. Its
/// times go on from `now`.
pub(crate) fn tail_region(path: &str, after: &EventCursor, now: Timestamp, list: &Markup) -> Markup {
    let separator = if path.contains('?') { '&' } else { '?' };
    html! {
        div.heading #tail-bar hidden {
            p.hint role="status" { "New changes appear on top." }
            button type="button" { "Pause" }
        }
        div.live.tail #tail data-tail=(now) hx-sse:connect={ (stream_path(path)) (separator) "after=" (after) }
            hx-sse:close=(END) hx-swap="afterbegin" hx-target="#tail tbody" "hx-status:4xx"="swap:none" "hx-status:5xx"="swap:none" { (list) }
        (not_followed(path, WithoutScript::Link))
    }
}

fn stream_path(path: &str) -> String {
    format!("{ROOT}/live{path}")
}

/// Says that a part is not followed. Scripts show it while there is no stream.
fn not_followed(path: &str, without_script: WithoutScript) -> Markup {
    let note = html! {
        p.hint { "This page is not updated by itself now. " a href={ (ROOT) (path) } { "Load it again" } }
    };
    html! {
        div.live-note role="status" hidden { (note) }
        noscript {
            @match without_script {
                WithoutScript::Link => (note),
                WithoutScript::Reload => meta http-equiv="refresh" content={ "2;url=" (ROOT) (path) };
            }
        }
    }
}

//! The pause that the receiver of a webhook has asked for: until when, why, and ending it.

use gatepost_control_plane::PAUSE_REASON;
use gatepost_domain::record::Webhook;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use crate::dashboard::answer;
use crate::dashboard::parts::time;
use crate::dashboard::root::ROOT;
use crate::dashboard::visitor::Visitor;

/// Says that nothing is sent to a webhook until a time; nothing if its receiver has not asked for that.
pub(crate) fn notice(visitor: &Visitor, webhook: &Webhook, until: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @if let Some(until) = until {
            div.notice role="note" {
                p {
                    strong { "Paused by the receiver" } ": the next attempts are made " (time::relative(until, now))
                    " (" (time::exact(until)) "). " (answer::capitalized(PAUSE_REASON)) "."
                }
                @if visitor.may_write() {
                    form method="post" action={ (ROOT) "/webhooks/" (webhook.id) "/resume" } { button { "End the pause" } }
                }
            }
        }
    }
}

//! The values of a key, and until when gateways accept each.

use gatepost_domain::record::ApiKey;
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use super::key_state::KeyState;
use crate::dashboard::answer;
use crate::dashboard::parts::facts::or_dash;
use crate::dashboard::parts::table::Column::Text;
use crate::dashboard::parts::{table, time};

/// Shows the values that are accepted, and until when. Of a key that is refused none is.
pub(crate) fn table(key: &ApiKey, state: KeyState, now: Timestamp) -> Markup {
    let old = key.digests.iter().filter(|value| value.until.is_some_and(|until| now < until));
    let accepted_until = |until: Option<Timestamp>| {
        html! {
            @if state.refusal().is_some() { "Not accepted" } @else { (or_dash(until.map(|at| time::relative(at, now)))) }
        }
    };
    let rows = html! {
        tr {
            th scope="row" { "Current " code { (key.mask) } }
            td { (accepted_until(key.expires_at)) }
        }
        @for value in old {
            tr {
                th scope="row" {
                    "Old, replaced " (or_dash(value.replaced_at.map(|at| time::relative(at, now))))
                }
                td { (accepted_until(value.until.into_iter().chain(key.expires_at).min())) }
            }
        }
    };
    html! {
        @if let Some(refusal) = state.refusal() {
            p.hint { (answer::capitalized(refusal)) ": gateways refuse all of its values." }
        }
        (table::of("Values", &[Text("Value"), Text("Accepted until")], rows))
    }
}

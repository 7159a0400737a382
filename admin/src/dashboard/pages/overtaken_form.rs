//! A form whose record somebody else has changed since it was drawn.

use gatepost_control_plane::Failure;
use gatepost_domain::record::Stamps;
use maud::{Markup, html};

use crate::dashboard::actors::ActorNames;
use crate::dashboard::parts::time;
use crate::dashboard::state::DashboardState;
use crate::dashboard::visitor::Visitor;

/// Says who has changed a record, and which entries differ from what is saved now: their labels and saved texts.
pub(crate) async fn notice(
    state: &DashboardState,
    visitor: &Visitor,
    record: &str,
    stamps: &Stamps,
    different: &[(&str, String)],
) -> Result<Markup, Failure> {
    let names = ActorNames::read(state, visitor, &[&stamps.updated_by]).await?;
    Ok(html! {
        div.fault-summary role="alert" {
            p {
                "The " (record) " was changed by " (names.label(&stamps.updated_by)) ", "
                (time::relative(stamps.updated_at, state.control_plane.now()))
                ", after this form was opened. Your entries are kept; saving again replaces what is saved now:"
            }
            ul {
                @for (label, now) in different {
                    li { (label) ": " @if now.is_empty() { "empty" } @else { code { (now) } } }
                }
            }
        }
    })
}

//! How many gateways have applied a change, and after which time.

use std::time::Duration;

use gatepost_control_plane::{Failure, PropagationStatus};
use gatepost_domain::id::AccountId;
use gatepost_domain::partition::Position;
use maud::{Markup, html};
use tokio::time::Instant;

use super::number;
use crate::dashboard::state::DashboardState;

/// The longest time for which a page waits for gateways.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What gateways have applied of a change.
pub(crate) struct Fence {
    status: PropagationStatus,
    waited: Duration,
}

/// Waits up to 10 s until all gateways have applied a change.
pub(crate) async fn wait(state: &DashboardState, account: &AccountId, position: Position) -> Result<Fence, Failure> {
    let started_at = Instant::now();
    let status = state.control_plane.await_propagation(account, position, MAX_WAIT).await?;
    Ok(Fence { status, waited: started_at.elapsed() })
}

/// Says what gateways do since a change, such as `refuse it`.
pub(crate) fn sentence(fence: &Fence, verb: &str) -> Markup {
    let PropagationStatus { applied, known } = fence.status;
    let waited = number::duration(fence.waited);
    html! {
        @if known == 0 {
            p.fence { "No gateway is registered, so none accepts a key." }
        } @else if applied == known {
            p.fence.done { strong { (applied) "/" (known) " gateways " (verb) } " after " (waited) "." }
        } @else {
            p.fence.late {
                strong { (applied) "/" (known) " gateways " (verb) } " after " (waited) ". The others have not applied "
                "the change yet. A gateway that cannot read changes refuses all keys when its lease ends."
            }
        }
    }
}

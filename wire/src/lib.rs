//! Resources as JSON: one shape for the admin API's answers and for the events that webhooks get.

mod event;
mod key;
mod resource;

pub use event::{ActorBody, ChangeBody, ChangeView, EventBody, change_body, event_body, event_type};
pub use key::{AccessKeyBody, ApiKeyBody, CreationContextBody, QuotaBody, RateLimitBody};
pub use resource::{AccountBody, ProjectBody, WebhookBody};

use gatepost_domain::record::Actor;
use gatepost_domain::time::Timestamp;

/// A moment as it stands in JSON.
fn rfc3339(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// Who made a change, as two members: an id, and what it is the id of.
fn actor_members(actor: &Actor) -> (Option<String>, Option<String>) {
    match actor {
        Actor::AccessKey(id) => (Some(id.to_string()), Some("ACCESS_KEY".to_owned())),
        Actor::Key(id) => (Some(id.to_string()), Some("API_KEY".to_owned())),
        Actor::Operator => (None, None),
    }
}

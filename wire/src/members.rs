//! Members that several resources share.

use gatepost_domain::record::Actor;
use gatepost_domain::time::Timestamp;

pub(crate) fn rfc3339(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// Returns the author of a change as two members: an id and its type. Both are absent for the operator and the deliverer.
pub(crate) fn actor_members(actor: &Actor) -> (Option<String>, Option<String>) {
    match actor {
        Actor::AccessKey(id) => (Some(id.to_string()), Some("ACCESS_KEY".to_owned())),
        Actor::Key(id) => (Some(id.to_string()), Some("API_KEY".to_owned())),
        Actor::Operator | Actor::Deliverer => (None, None),
    }
}

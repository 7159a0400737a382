//! Members of a PATCH that only the server sets. Values that the resource does not have are refused, so that nobody
//! believes to have changed it.

use gatepost_control_plane::{Failure, MemberPolicy};
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// Members that never change. They are compared even in a copy of the resource, whose other members may be older than a
/// change that was made since.
const CONSTANT_MEMBERS: [&str; 4] = ["id", "createdAt", "createdBy", "createdByType"];

/// The members of a body that only the server sets, with their values.
#[derive(Debug)]
pub(crate) struct ReadOnlyMembers {
    members: Map<String, Value>,
    policy: MemberPolicy,
}

impl ReadOnlyMembers {
    /// Takes the members that must be compared. A body with an `id` is a copy of the resource.
    pub(super) fn new(body: &Value, read_only: &[&str], policy: MemberPolicy) -> Self {
        let is_copy = body.get("id").is_some_and(Value::is_string);
        let is_compared = |name: &str| read_only.contains(&name) && (!is_copy || CONSTANT_MEMBERS.contains(&name));
        let members = body.as_object().into_iter().flatten().filter(|(name, _)| is_compared(name));
        Self { members: members.map(|(name, value)| (name.clone(), value.clone())).collect(), policy }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Refuses values that the resource does not have, or ignores them if the request prefers that.
    pub(crate) fn check(&self, resource: &impl Serialize) -> Result<(), Failure> {
        let resource = serde_json::to_value(resource).expect("a resource is a struct with text keys");
        let differing = self.members.iter().filter(|(name, value)| !is_same(value, &resource[name.as_str()]));
        let names: Vec<String> = differing.map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let detail = format!("{}: cannot be changed; only the server sets it", names.join(", "));
        self.policy.refuse_or_ignore(names, || Failure::invalid(detail))
    }
}

/// Returns whether two values are equal, or the same time.
fn is_same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| Timestamp::parse(text).ok());
    one == other || time(one).is_some_and(|at| time(other) == Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(body: &Value) -> Option<String> {
        let read_only = ["id", "createdAt", "state", "stateReason"];
        let resource =
            json!({"id": "a", "createdAt": "2026-11-25T10:00:00.000Z", "state": "live", "stateReason": null});
        let members = ReadOnlyMembers::new(body, &read_only, MemberPolicy::default());
        members.check(&resource).err().map(|failure| failure.to_string())
    }

    #[test]
    fn values_that_the_resource_does_not_have_are_refused() {
        let detail = |names: &str| Some(format!("{names}: cannot be changed; only the server sets it"));
        for (body, expected) in [
            (json!({"name": "n", "state": "live", "stateReason": null}), None),
            (json!({"state": "paused"}), detail("state")),
            (json!({"state": "paused", "stateReason": "x"}), detail("state, stateReason")),
            (json!({"createdAt": "2026-11-25T11:00:00+01:00"}), None),
            (json!({"createdAt": "2026-11-25T11:00:00Z"}), detail("createdAt")),
            (json!({"id": "b"}), detail("id")),
        ] {
            assert_eq!(refused(&body), expected, "{body}");
        }
    }

    #[test]
    fn a_copy_may_be_older_than_the_resource() {
        assert_eq!(refused(&json!({"id": "a", "state": "failing"})), None);
        assert!(refused(&json!({"id": "a", "createdAt": "2020-01-01T00:00:00Z"})).is_some());
    }
}

//! Rules for changes that are a copy of the whole resource: members that repeat the current value never fail, and other
//! values of fixed members are refused.

use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Status;

use crate::failure::{Failure, Result};
use crate::request_context::MemberPolicy;
use crate::use_cases::patch::Patch;

pub fn status_of(is_active: bool) -> Status {
    if is_active { Status::Active } else { Status::Inactive }
}

/// Refuses the change of a fixed member, or ignores it if the request prefers that.
pub(super) fn check_unchanged(
    members: &MemberPolicy,
    member: &str,
    requested: Option<&str>,
    current: &str,
) -> Result<()> {
    match requested {
        Some(requested) if requested != current => members.refuse_or_ignore(vec![member.to_owned()], || {
            Failure::invalid(format!("{member}: cannot be changed; it is {current}"))
        }),
        Some(_) | None => Ok(()),
    }
}

/// Returns the status of a record after a change. A copy never reactivates a record that was revoked after the copy was
/// read; `reactivation_hint` says what does.
pub(super) fn next_status(
    current: Status,
    requested: Option<Status>,
    reactivation_hint: impl FnOnce() -> String,
) -> Result<Status> {
    match (current, requested) {
        (current, None) => Ok(current),
        (Status::Active, Some(requested)) => Ok(requested),
        (Status::Inactive, Some(Status::Inactive)) => Ok(Status::Inactive),
        (Status::Inactive, Some(Status::Active)) => {
            Err(Failure::refused(ErrorCode::Conflict, format!("isActive: {}", reactivation_hint())))
        }
    }
}

/// Returns the value of a member that has two names after a change. The one that differs from the record is used, so that
/// either can be edited in a copy.
///
/// # Errors
/// If both differ from the record and from each other.
pub(super) fn merge_aliases<T: PartialEq>(
    names: [&str; 2],
    requested: [Patch<T>; 2],
    current: Option<T>,
) -> Result<Option<T>> {
    let [first, second] = requested.map(|requested| match requested {
        Patch::Absent => None,
        Patch::Null => Some(None),
        Patch::Value(value) => Some(Some(value)),
    });
    let differs = |requested: &Option<T>| *requested != current;
    match (first.filter(differs), second.filter(differs)) {
        (None, None) => Ok(current),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(one), Some(other)) if one == other => Ok(one),
        (Some(_), Some(_)) => {
            let [first, second] = names;
            Err(Failure::invalid(format!("{first}: differs from {second}, and neither is the current value")))
        }
    }
}

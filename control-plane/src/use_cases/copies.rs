//! Changes that come as a copy of the whole resource: what they repeat changes nothing and never fails, and what cannot
//! be changed is refused where they name something else.

use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::Status;

use crate::failure::{Failure, Result};
use crate::request;
use crate::use_cases::given::Given;

/// Returns the status that `isActive` stands for.
pub(crate) fn status(is_active: bool) -> Status {
    if is_active { Status::Active } else { Status::Inactive }
}

/// Refuses, or ignores where a request prefers that, a change of a member that is fixed for the life of a resource.
pub(super) fn must_stay(member: &str, asked: Option<&str>, own: &str) -> Result<()> {
    match asked {
        Some(asked) if asked != own => {
            let failure = || Failure::invalid(format!("{member}: cannot be changed; it is {own}"));
            request::refuse_or_ignore(vec![member.to_owned()], failure)
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the status of a record after a change. A copy never revives what was revoked after it was read: `way_back`
/// says what does.
pub(super) fn next_status(own: Status, asked: Option<Status>, way_back: impl FnOnce() -> String) -> Result<Status> {
    match (own, asked) {
        (own, None) => Ok(own),
        (Status::Active, Some(asked)) => Ok(asked),
        (Status::Inactive, Some(Status::Inactive)) => Ok(Status::Inactive),
        (Status::Inactive, Some(Status::Active)) => {
            Err(Failure::refused(ErrorCode::Conflict, format!("isActive: {}", way_back())))
        }
    }
}

/// Returns the value after a change of a member that has two names. Of the two, the one that differs from the record
/// counts, so that either can be edited in a copy.
///
/// # Errors
/// If both differ from the record and from each other.
pub(super) fn of_two_names<T: PartialEq>(names: [&str; 2], asked: [Given<T>; 2], own: Option<T>) -> Result<Option<T>> {
    let [first, second] = asked.map(|asked| match asked {
        Given::Absent => None,
        Given::Null => Some(None),
        Given::Value(value) => Some(Some(value)),
    });
    let differs = |asked: &Option<T>| *asked != own;
    match (first.filter(differs), second.filter(differs)) {
        (None, None) => Ok(own),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (Some(one), Some(other)) if one == other => Ok(one),
        (Some(_), Some(_)) => {
            let [first, second] = names;
            Err(Failure::invalid(format!("{first}: is another than {second}, and neither is what the key has")))
        }
    }
}

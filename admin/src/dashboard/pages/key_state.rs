//! The state of a key for people: whether gateways accept it, and if not, why.

use gatepost_control_plane::Failure;
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{ApiKey, Project, Status};
use gatepost_domain::time::Timestamp;
use maud::{Markup, html};

use crate::dashboard::parts::badge::{self, Tone};
use crate::dashboard::parts::time;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    Active,
    Expired,
    Revoked,
    ProjectDeleted,
}

impl KeyState {
    /// The states that a list selects by, with their names in its query. All keys of a deleted project that are not
    /// revoked have the same state.
    pub(crate) const SELECTABLE: [(&str, KeyState); 3] =
        [("active", KeyState::Active), ("expired", KeyState::Expired), ("revoked", KeyState::Revoked)];

    pub(crate) fn of(key: &ApiKey, project: Status, now: Timestamp) -> Self {
        match (key.status, project) {
            (Status::Inactive, _) => KeyState::Revoked,
            (Status::Active, Status::Inactive) => KeyState::ProjectDeleted,
            (Status::Active, Status::Active) if key.expires_at.is_some_and(|at| at <= now) => KeyState::Expired,
            (Status::Active, Status::Active) => KeyState::Active,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            KeyState::Active => "Active",
            KeyState::Expired => "Expired",
            KeyState::Revoked => "Revoked",
            KeyState::ProjectDeleted => "Project deleted",
        }
    }

    pub(crate) fn badge(self) -> Markup {
        let tone = match self {
            KeyState::Active => Tone::Good,
            KeyState::Expired => Tone::Warning,
            KeyState::Revoked | KeyState::ProjectDeleted => Tone::Bad,
        };
        badge::state(tone, self.word())
    }

    /// Returns why gateways refuse every value of the key; none if they accept it.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        match self {
            KeyState::Active => None,
            KeyState::Expired => Some("the key has expired"),
            KeyState::Revoked => Some("the key is revoked"),
            KeyState::ProjectDeleted => Some("the project of the key was deleted"),
        }
    }
}

/// Refuses a form whose change would be refused, before somebody fills it in.
///
/// # Errors
/// `conflict` if the project was deleted.
pub(crate) fn require_changeable(project: &Project) -> Result<(), Failure> {
    match project.status {
        Status::Active => Ok(()),
        Status::Inactive => {
            let detail = "the project was deleted, for good: its keys can only be read and revoked";
            Err(Failure::refused(ErrorCode::Conflict, detail))
        }
    }
}

/// Refuses the form of a rotation that would be refused.
///
/// # Errors
/// `conflict` if the project was deleted or the key is revoked.
pub(crate) fn require_rotatable(key: &ApiKey, project: &Project) -> Result<(), Failure> {
    require_changeable(project)?;
    match key.status {
        Status::Active => Ok(()),
        Status::Inactive => Err(Failure::refused(ErrorCode::Conflict, "the key is revoked; reactivate it first")),
    }
}

/// Warns before and after the rotation of an expired key: its new value is refused, too.
pub(crate) fn expiry_warning(key: &ApiKey, now: Timestamp) -> Markup {
    html! {
        @if let Some(at) = key.expires_at.filter(|at| *at <= now) {
            p.notice role="note" {
                strong { "The key expired " (time::relative(at, now)) "." }
                " Gateways refuse its new value, too, until you change when it expires: "
                a href={ (crate::dashboard::root::ROOT) "/keys/" (key.id) "/edit" } { "Edit" }
            }
        }
    }
}

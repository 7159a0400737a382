//! Access keys of the admin API and their roles.

use super::stamps::{Stamps, Status};
use crate::digest::Digest;
use crate::id::{AccessKeyId, AccountId, ProjectId};
use crate::time::Timestamp;

/// Role of an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads and writes everything, access keys included.
    Admin,
    /// Reads and writes everything except access keys.
    User,
    /// Reads only.
    Viewer,
}

impl Role {
    /// Returns the name used in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::User => "user",
            Role::Viewer => "viewer",
        }
    }

    /// Parses the output of [`Role::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Role::Admin, Role::User, Role::Viewer].into_iter().find(|role| role.as_str() == text)
    }
}

/// The credential of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Id of the access key.
    pub id: AccessKeyId,
    /// Account that it gives access to.
    pub account: AccountId,
    /// The only project that it gives access to. `None` for the whole account.
    pub project: Option<ProjectId>,
    /// Role, which limits its operations.
    pub role: Role,
    /// Display name.
    pub name: String,
    /// Whether the access key may be used.
    pub status: Status,
    /// Masked form of the value.
    pub mask: String,
    /// Digest of the value.
    pub digest: Digest,
    /// Expiry time, from which the access key is denied. `None` for no expiry.
    pub expires_at: Option<Timestamp>,
    /// Creation and last update.
    pub stamps: Stamps,
}

impl AccessKey {
    /// Returns whether the access key is active and unexpired at `now`. The account is not checked.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.status == Status::Active && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

//! Accounts and their projects.

use super::stamps::{Stamps, Status};
use crate::id::{AccountId, ProjectId};
use crate::key::Env;

/// An account, the top-level tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Id of the account.
    pub id: AccountId,
    /// Display name.
    pub name: String,
    /// Whether the account is active.
    pub status: Status,
    /// Creation and last update.
    pub stamps: Stamps,
}

/// A project, the container of API keys and webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Id of the project.
    pub id: ProjectId,
    /// Account that owns the project.
    pub account: AccountId,
    /// Display name.
    pub name: String,
    /// Environment of its keys; immutable.
    pub env: Env,
    /// Whether its keys may be used.
    pub status: Status,
    /// Creation and last update.
    pub stamps: Stamps,
}

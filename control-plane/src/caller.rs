//! Callers and what they may do.

use gatepost_domain::id::{AccessKeyId, AccountId, ProjectId};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::record::{AccessKey, Actor, Role};

use crate::failure::{Failure, Result};

/// The access key that a request was authenticated with.
#[derive(Debug, Clone)]
pub struct Caller {
    pub access_key: AccessKeyId,
    /// The account that it acts for.
    pub account: AccountId,
    /// The only project that it sees; absent for the whole account.
    pub project: Option<ProjectId>,
    pub role: Role,
}

impl From<&AccessKey> for Caller {
    fn from(key: &AccessKey) -> Self {
        Self { access_key: key.id.clone(), account: key.account.clone(), project: key.project.clone(), role: key.role }
    }
}

impl Caller {
    /// Returns the caller as the actor of a change.
    pub fn actor(&self) -> Actor {
        Actor::AccessKey(self.access_key.clone())
    }

    /// Refuses viewers.
    pub fn require_write(&self) -> Result<()> {
        match self.role {
            Role::Admin | Role::User => Ok(()),
            Role::Viewer => Err(forbidden("this access key may only read: its role is viewer")),
        }
    }

    /// Refuses callers that may not manage access keys and the account.
    pub fn require_admin(&self) -> Result<()> {
        match self.role {
            Role::Admin => Ok(()),
            Role::User | Role::Viewer => Err(forbidden("this needs an access key whose role is admin")),
        }
    }

    /// Refuses callers that see one project only.
    pub fn require_account_scope(&self) -> Result<()> {
        match self.project {
            None => Ok(()),
            Some(_) => Err(forbidden("this access key sees one project; this needs one of the account")),
        }
    }

    /// Returns whether the caller sees a project of an account. Hidden resources are reported as not found.
    pub fn visibility(&self, account: &AccountId, project: &ProjectId) -> Visibility {
        let is_visible = self.account == *account && self.project.as_ref().is_none_or(|own| own == project);
        if is_visible { Visibility::Visible } else { Visibility::Hidden }
    }

    /// Returns the same for a resource that may belong to a whole account: it is hidden from callers that see one project.
    pub fn visibility_in_account(&self, account: &AccountId, project: Option<&ProjectId>) -> Visibility {
        match project {
            Some(project) => self.visibility(account, project),
            None if self.account == *account && self.project.is_none() => Visibility::Visible,
            None => Visibility::Hidden,
        }
    }

    /// Returns the project that a request names, or the caller's own if it names none.
    pub fn project_or_own(&self, named: Option<&str>) -> Result<ProjectId> {
        let Some(named) = named else {
            return self.project.clone().ok_or_else(|| {
                Failure::invalid("projectId: is missing; an access key of an account must name a project")
            });
        };
        ProjectId::parse(named).map_err(|_| Failure::invalid("projectId: is not the id of a project"))
    }

    /// Refuses an account that is not the caller's.
    pub fn require_own_account(&self, named: Option<&str>) -> Result<()> {
        match named {
            Some(named) if named != self.account.as_str() => Err(forbidden("Invalid roles for this account")),
            Some(_) | None => Ok(()),
        }
    }
}

/// Visibility of a resource to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    Visible,
    Hidden,
}

fn forbidden(detail: &'static str) -> Failure {
    Failure::refused(ErrorCode::Forbidden, detail)
}

//! Removing keys for good that were shut off long ago.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::ProjectId;
use gatepost_domain::record::{Actor, ApiKey, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{MAX_PAGE, Versioned, Write};

use super::import::Mode;
use crate::ControlPlane;
use crate::commit::Committed;
use crate::failure::{Failure, Result};

/// What a purge did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Keys that were looked at.
    pub seen: u64,
    /// Keys that were removed.
    pub removed: u64,
}

impl ControlPlane {
    /// Removes the keys of all accounts that were shut off and have not changed for so long.
    pub async fn purge(&self, inactive_for: Duration, mode: Mode) -> std::result::Result<Purged, Failure> {
        let mut purged = Purged::default();
        let mut after = String::new();
        loop {
            let page = self.store.accounts(&after, MAX_PAGE).await?;
            for account in &page.items {
                for project in self.all_projects(&account.record.id).await? {
                    self.purge_project(&project, inactive_for, mode, &mut purged).await?;
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(purged),
            }
        }
    }

    async fn all_projects(&self, account: &gatepost_domain::id::AccountId) -> Result<Vec<ProjectId>> {
        let (mut projects, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store.projects(account, &after, MAX_PAGE).await?;
            projects.extend(page.items.into_iter().map(|found| found.record.id));
            match page.next {
                Some(next) => after = next,
                None => return Ok(projects),
            }
        }
    }

    async fn purge_project(
        &self,
        project: &ProjectId,
        inactive_for: Duration,
        mode: Mode,
        purged: &mut Purged,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.store.api_keys(project, &after, MAX_PAGE).await?;
            for key in page.items {
                purged.seen += 1;
                if is_old(&key.record, inactive_for, self.now()) && self.remove(key, mode).await? == Outcome::Removed {
                    purged.removed += 1;
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// A key that somebody has changed meanwhile stays.
    async fn remove(&self, key: Versioned<ApiKey>, mode: Mode) -> Result<Outcome> {
        if mode == Mode::Dry {
            return Ok(Outcome::Removed);
        }
        let writes = vec![Write::remove(key)];
        Ok(match self.commit(Action::ApiKeyPurged, &Actor::Operator, writes, None).await? {
            Committed::At(_) => Outcome::Removed,
            Committed::Stale => Outcome::Stays,
        })
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Removed,
    Stays,
}

fn is_old(key: &ApiKey, inactive_for: Duration, now: Timestamp) -> bool {
    key.status == Status::Inactive && inactive_for < now.since(key.stamps.updated_at)
}

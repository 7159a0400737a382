//! Removing keys and access keys for good that were shut off long ago.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::record::{Actor, ApiKey, Project, Record, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{Format, MAX_PAGE, RecordWrite, Versioned};
use serde::{Deserialize, Serialize};

use super::import::RunMode;
use crate::ControlPlane;
use crate::commit::Committed;
use crate::failure::{Failure, Result};

/// What a purge did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReport {
    /// API keys.
    pub api_keys: Tally,
    /// Access keys. In a store that gatepost 0.1 can read they stay.
    pub access_keys: Tally,
}

/// Records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Those that were looked at.
    pub seen: u64,
    /// Those that were removed.
    pub removed: u64,
}

impl Tally {
    fn add(&mut self, outcome: Removal) {
        self.seen += 1;
        self.removed += u64::from(outcome == Removal::Removed);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Removal {
    Removed,
    Retained,
}

/// Which records go.
#[derive(Debug, Clone, Copy)]
struct PurgeRule {
    inactive_for: Duration,
    mode: RunMode,
}

impl ControlPlane {
    /// Removes the keys and access keys of all accounts that were shut off so long ago, also with their project.
    pub async fn purge(&self, inactive_for: Duration, mode: RunMode) -> std::result::Result<PurgeReport, Failure> {
        let (rule, mut purged, mut after) = (PurgeRule { inactive_for, mode }, PurgeReport::default(), String::new());
        loop {
            let page = self.store.accounts(&after, MAX_PAGE).await?;
            for account in &page.items {
                let account = &account.record.id;
                for project in self.all_projects(account).await? {
                    self.purge_project(&project, rule, &mut purged.api_keys).await?;
                }
                self.purge_access_keys(account, rule, &mut purged.access_keys).await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(purged),
            }
        }
    }

    async fn all_projects(&self, account: &AccountId) -> Result<Vec<Project>> {
        let (mut projects, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store.projects(account, &after, MAX_PAGE).await?;
            projects.extend(page.items.into_iter().map(|found| found.record));
            match page.next {
                Some(next) => after = next,
                None => return Ok(projects),
            }
        }
    }

    async fn purge_project(&self, project: &Project, rule: PurgeRule, tally: &mut Tally) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.store.api_keys(&project.id, &after, MAX_PAGE).await?;
            for key in page.items {
                let inactive_since = inactive_since(&key.record, project);
                tally.add(self.remove_if_expired(key, Action::ApiKeyPurged, inactive_since, rule).await?);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn purge_access_keys(&self, account: &AccountId, rule: PurgeRule, tally: &mut Tally) -> Result<()> {
        // Gatepost 0.1 does not know the change.
        if self.store.read_format().await? < Format::SEALED_WEBHOOKS {
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let page = self.store.access_keys(account, &after, MAX_PAGE).await?;
            for key in page.items {
                let inactive_since = (key.record.status == Status::Inactive).then_some(key.record.stamps.updated_at);
                tally.add(self.remove_if_expired(key, Action::AccessKeyPurged, inactive_since, rule).await?);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// What somebody has changed meanwhile stays.
    async fn remove_if_expired<T: Into<Record>>(
        &self,
        found: Versioned<T>,
        action: Action,
        inactive_since: Option<Timestamp>,
        rule: PurgeRule,
    ) -> Result<Removal> {
        let is_expired = inactive_since.is_some_and(|since| rule.inactive_for < self.now().since(since));
        match (is_expired, rule.mode) {
            (false, _) => Ok(Removal::Retained),
            (true, RunMode::DryRun) => Ok(Removal::Removed),
            (true, RunMode::Apply) => {
                let committed = self.commit(action, &Actor::Operator, vec![RecordWrite::remove(found)], None).await?;
                Ok(if committed == Committed::Stale { Removal::Retained } else { Removal::Removed })
            }
        }
    }
}

/// Since when a key cannot be used, by itself or with its project; none if it can.
fn inactive_since(key: &ApiKey, project: &Project) -> Option<Timestamp> {
    match (key.status, project.status) {
        (Status::Inactive, _) => Some(key.stamps.updated_at),
        (Status::Active, Status::Inactive) => Some(project.stamps.updated_at),
        (Status::Active, Status::Active) => None,
    }
}

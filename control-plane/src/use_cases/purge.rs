//! Purging keys and access keys that have been inactive for long.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::record::{ApiKey, Project, Record, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{Format, MAX_PAGE, Versioned};

use super::run_mode::RunMode;
use crate::commit::Initiator;
use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::pager::Pager;

/// The outcome of a purge, or of a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurgeReport {
    pub api_keys: Tally,
    /// In a store that gatepost 0.1 can read, none is removed.
    pub access_keys: Tally,
}

/// A tally of records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub seen: u64,
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

/// The records that a purge removes.
#[derive(Debug, Clone, Copy)]
struct PurgeRule {
    inactive_for: Duration,
    mode: RunMode,
}

impl ControlPlane {
    /// Removes the keys and access keys of all accounts that have been inactive for longer than `inactive_for`, by
    /// themselves or with their project.
    pub async fn purge(&self, inactive_for: Duration, mode: RunMode) -> Result<PurgeReport> {
        let (rule, mut report) = (PurgeRule { inactive_for, mode }, PurgeReport::default());
        let read = |after: String, limit| async move { self.store.single_cell().accounts(&after, limit).await };
        let mut pages = Pager::new(MAX_PAGE, read);
        while let Some(page) = pages.next_page().await? {
            for account in &page.items {
                let account = &account.record.id;
                let read = |after: String, limit| async move {
                    self.store.home(account.partition()).projects(account, &after, limit).await
                };
                for (_, project) in Pager::new(MAX_PAGE, read).read_all().await? {
                    self.purge_project(&project.record, rule, &mut report.api_keys).await?;
                }
                self.purge_access_keys(account, rule, &mut report.access_keys).await?;
            }
        }
        Ok(report)
    }

    async fn purge_project(&self, project: &Project, rule: PurgeRule, tally: &mut Tally) -> Result<()> {
        let read =
            |after: String, limit| async move { self.store.single_cell().api_keys(&project.id, &after, limit).await };
        let mut pages = Pager::new(MAX_PAGE, read);
        while let Some(page) = pages.next_page().await? {
            for key in page.items {
                let inactive_since = inactive_since(&key.record, project);
                tally.add(self.remove_if_expired(key, Action::ApiKeyPurged, inactive_since, rule).await?);
            }
        }
        Ok(())
    }

    async fn purge_access_keys(&self, account: &AccountId, rule: PurgeRule, tally: &mut Tally) -> Result<()> {
        // Gatepost 0.1 cannot read this change.
        if self.store.single_cell().read_format().await? < Format::SEALED_WEBHOOKS {
            return Ok(());
        }
        let read = |after: String, limit| async move {
            self.store.home(account.partition()).access_keys(account, &after, limit).await
        };
        let mut pages = Pager::new(MAX_PAGE, read);
        while let Some(page) = pages.next_page().await? {
            for key in page.items {
                let inactive_since = (key.record.status == Status::Inactive).then_some(key.record.stamps.updated_at);
                tally.add(self.remove_if_expired(key, Action::AccessKeyPurged, inactive_since, rule).await?);
            }
        }
        Ok(())
    }

    /// Removes a record, unless it has been changed since it was read.
    async fn remove_if_expired<T: Clone + Into<Record>>(
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
                let removed = self.remove(Initiator::Operator, found, action).await?;
                Ok(if removed.is_some() { Removal::Removed } else { Removal::Retained })
            }
        }
    }
}

/// Returns since when a key has been inactive, by itself or with its project; none if it is active.
fn inactive_since(key: &ApiKey, project: &Project) -> Option<Timestamp> {
    match (key.status, project.status) {
        (Status::Inactive, _) => Some(key.stamps.updated_at),
        (Status::Active, Status::Inactive) => Some(project.stamps.updated_at),
        (Status::Active, Status::Active) => None,
    }
}

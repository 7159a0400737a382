//! Removing keys and access keys for good that were shut off long ago.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::AccountId;
use gatepost_domain::record::{Actor, ApiKey, Project, Record, Status};
use gatepost_domain::time::Timestamp;
use gatepost_store::{Format, MAX_PAGE, Versioned, Write};
use serde::{Deserialize, Serialize};

use super::import::Mode;
use crate::ControlPlane;
use crate::commit::Committed;
use crate::failure::{Failure, Result};

/// What a purge did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
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
    fn add(&mut self, outcome: Outcome) {
        self.seen += 1;
        self.removed += u64::from(outcome == Outcome::Removed);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Removed,
    Stays,
}

/// Which records go.
#[derive(Debug, Clone, Copy)]
struct Rule {
    inactive_for: Duration,
    mode: Mode,
}

impl ControlPlane {
    /// Removes the keys and access keys of all accounts that were shut off so long ago, also with their project.
    pub async fn purge(&self, inactive_for: Duration, mode: Mode) -> std::result::Result<Purged, Failure> {
        let (rule, mut purged, mut after) = (Rule { inactive_for, mode }, Purged::default(), String::new());
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

    async fn purge_project(&self, project: &Project, rule: Rule, tally: &mut Tally) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.store.api_keys(&project.id, &after, MAX_PAGE).await?;
            for key in page.items {
                let inactive_since = inactive_since(&key.record, project);
                tally.add(self.remove_if_old(key, Action::ApiKeyPurged, inactive_since, rule).await?);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn purge_access_keys(&self, account: &AccountId, rule: Rule, tally: &mut Tally) -> Result<()> {
        // Gatepost 0.1 does not know the change.
        if self.store.read_format().await? < Format::SEALED_WEBHOOKS {
            return Ok(());
        }
        let mut after = String::new();
        loop {
            let page = self.store.access_keys(account, &after, MAX_PAGE).await?;
            for key in page.items {
                let inactive_since = (key.record.status == Status::Inactive).then_some(key.record.stamps.updated_at);
                tally.add(self.remove_if_old(key, Action::AccessKeyPurged, inactive_since, rule).await?);
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// What somebody has changed meanwhile stays.
    async fn remove_if_old<T: Into<Record>>(
        &self,
        found: Versioned<T>,
        action: Action,
        inactive_since: Option<Timestamp>,
        rule: Rule,
    ) -> Result<Outcome> {
        let is_old = inactive_since.is_some_and(|since| rule.inactive_for < self.now().since(since));
        match (is_old, rule.mode) {
            (false, _) => Ok(Outcome::Stays),
            (true, Mode::Dry) => Ok(Outcome::Removed),
            (true, Mode::Real) => {
                let committed = self.commit(action, &Actor::Operator, vec![Write::remove(found)], None).await?;
                Ok(if committed == Committed::Stale { Outcome::Stays } else { Outcome::Removed })
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

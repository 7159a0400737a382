//! Raising the format of a store, bringing old records into it, and counting what accounts have.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccountId, EventId, GatewayId};
use gatepost_domain::record::{Actor, Webhook};

use crate::change::{Change, RecordWrite, Versioned};
use crate::error::Result;
use crate::format::Format;
use crate::ops::CommitOutcome;
use crate::records::MAX_PAGE;
use crate::store::{Store, os_rng};
use crate::store_header::StoreHeader;
use crate::user_secrets::has_plaintext_secrets;

/// Records that are rewritten a second at most, so that others find the store free.
const REWRITES_PER_SECOND: u32 = 200;
/// Ids that are named of webhooks that cannot be read.
const MAX_UNREADABLE_IDS: usize = 100;
/// How often one record is read again because somebody else has changed it at the same moment.
const MAX_TRIES: u32 = 5;

/// How far an upgrade has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUpgrade {
    /// Webhooks that were looked at.
    pub checked: u64,
    /// Webhooks that were rewritten.
    pub rewritten: u64,
    /// Webhooks that cannot be read, and are left as they are.
    pub unreadable: u64,
    /// The ids of the first 100 of them.
    pub unreadable_ids: Vec<String>,
    /// Records that were counted for their accounts.
    pub counted: u64,
}

impl StoreUpgrade {
    fn note_unreadable(&mut self, id: String) {
        self.unreadable += 1;
        if self.unreadable_ids.len() < MAX_UNREADABLE_IDS {
            self.unreadable_ids.push(id);
        }
    }
}

/// Why a store is not upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Gateways that cannot read the later format still run.
    #[error(
        "{} of the running gateways cannot read format {to} ({}): upgrade or stop them first", gateways.len(),
        gateways.iter().map(GatewayId::as_str).collect::<Vec<_>>().join(", ")
    )]
    OutdatedGateways {
        /// The format that was asked for.
        to: Format,
        /// Which.
        gateways: Vec<GatewayId>,
    },
    /// The store does not answer as it should.
    #[error(transparent)]
    Store(#[from] crate::error::StoreError),
}

impl Store {
    /// Raises the format in which all processes write, rewrites the records of earlier ones, at most 200 a second, and
    /// counts what accounts have.
    /// `progress` is called after each page. What was cut off is done by calling it again.
    ///
    /// Processes that cannot read the format stop to work from then on: it must be raised only when none is left.
    ///
    /// # Errors
    ///
    /// [`UpgradeError::OutdatedGateways`] while gateways run that are known not to read the format.
    pub async fn upgrade(
        &self,
        to: Format,
        mut progress: impl FnMut(&StoreUpgrade) + Send,
    ) -> std::result::Result<StoreUpgrade, UpgradeError> {
        if self.format() < to {
            self.raise_format(to).await?;
        }
        let mut done = StoreUpgrade::default();
        if self.format() < Format::SEALED_WEBHOOKS {
            return Ok(done);
        }
        self.rewrite_all_webhooks(&mut done, &mut progress).await?;
        self.backfill_counts(|counted| {
            done.counted = counted;
            progress(&done);
        })
        .await?;
        Ok(done)
    }

    async fn rewrite_all_webhooks(
        &self,
        done: &mut StoreUpgrade,
        progress: &mut (impl FnMut(&StoreUpgrade) + Send),
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.accounts(&after, MAX_PAGE).await?;
            for account in &page.items {
                self.rewrite_webhooks(&account.record.id, done, progress).await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn raise_format(&self, to: Format) -> std::result::Result<(), UpgradeError> {
        let gateways = self.gateways().await?;
        let outdated: Vec<GatewayId> =
            gateways.into_iter().filter(|gateway| gateway.max_format < to.number()).map(|gateway| gateway.id).collect();
        if !outdated.is_empty() {
            return Err(UpgradeError::OutdatedGateways { to, gateways: outdated });
        }
        let Some(header) = self.backend.open().await? else {
            return Err(crate::error::StoreErrorKind::WrongStore.with("the store is gone").into());
        };
        self.backend.raise_format(StoreHeader { format: to.number(), min_reader: to.number(), ..header }).await?;
        self.observe_format(to.number());
        Ok(())
    }

    async fn rewrite_webhooks(
        &self,
        account: &AccountId,
        done: &mut StoreUpgrade,
        progress: &mut (impl FnMut(&StoreUpgrade) + Send),
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.webhooks_lenient(account, &after, MAX_PAGE).await?;
            for (name, found) in page.items {
                done.checked += 1;
                match found {
                    Ok(found) if has_plaintext_secrets(&found.record) => {
                        done.rewritten += u64::from(self.rewrite(found).await?)
                    }
                    Ok(_) => {}
                    Err(_) => done.note_unreadable(name),
                }
            }
            progress(done);
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Writes a webhook as it is, which seals it. Returns whether this call did so.
    async fn rewrite(&self, found: Versioned<Webhook>) -> Result<bool> {
        let id = found.record.id.clone();
        let mut found = Some(found);
        for _ in 0..MAX_TRIES {
            let Some(webhook) = found.filter(|found| has_plaintext_secrets(&found.record)) else { return Ok(false) };
            if let CommitOutcome::Committed(_) = self.commit(&rewrite_change(webhook)).await? {
                tokio::time::sleep(Duration::from_secs(1) / REWRITES_PER_SECOND).await;
                return Ok(true);
            }
            found = self.webhook(&id).await?;
        }
        Ok(false)
    }
}

fn rewrite_change(webhook: Versioned<Webhook>) -> Change {
    let record = webhook.record.clone();
    Change {
        event: EventId::generate(&mut os_rng()),
        action: Action::WebhookUpdated,
        actor: Actor::Operator,
        writes: vec![RecordWrite::replace(webhook, record)],
        secret: None,
        stored_response: None,
    }
}

//! Upgrading a store: raising its format, rewriting old records, and counting account resources.

use std::time::Duration;

use gatepost_domain::change::Action;
use gatepost_domain::id::{AccountId, EventId, GatewayId};
use gatepost_domain::record::{Actor, Webhook};

use crate::cell_store::CellStore;
use crate::change::{Change, RecordWrite, Versioned};
use crate::error::{Result, StoreErrorKind};
use crate::format::Format;
use crate::ops::CommitOutcome;
use crate::random::os_rng;
use crate::records::MAX_PAGE;
use crate::sealed_secrets::has_plaintext_secrets;
use crate::store_header::StoreHeader;

/// Maximum rewrites per second, so that the upgrade does not slow down other users of the store.
const REWRITES_PER_SECOND: u32 = 200;
/// Maximum number of ids reported for webhooks that cannot be decoded.
const MAX_UNREADABLE_IDS: usize = 100;
/// Maximum attempts to write what others change concurrently.
const MAX_TRIES: u32 = 5;

/// Progress of an upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUpgrade {
    /// Webhooks checked.
    pub checked: u64,
    /// Webhooks rewritten.
    pub rewritten: u64,
    /// Webhooks that cannot be decoded; they are left as they are.
    pub unreadable: u64,
    /// Ids of the first 100 of them.
    pub unreadable_ids: Vec<String>,
    /// Records counted towards the limits of their accounts.
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

/// Why a store cannot be upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Running gateways cannot read the later format.
    #[error(
        "{} of the running gateways cannot read format {to} ({}): upgrade or stop them first", gateways.len(),
        gateways.iter().map(GatewayId::as_str).collect::<Vec<_>>().join(", ")
    )]
    OutdatedGateways {
        /// The requested format.
        to: Format,
        /// Ids of these gateways.
        gateways: Vec<GatewayId>,
    },
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] crate::error::StoreError),
}

impl CellStore {
    /// Raises the format in which all processes write, rewrites records of earlier formats, at most 200 per second, and
    /// counts account resources. Calls `progress` after each page. An interrupted upgrade resumes when it is called
    /// again.
    ///
    /// Processes that cannot read the new format stop working: raise it only when none is left.
    ///
    /// # Errors
    ///
    /// [`UpgradeError::OutdatedGateways`] while gateways run that are known not to read the format; otherwise those of
    /// a confirmed write, see [`CellStore`]. The deadlines apply to each operation, not to the whole upgrade.
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
        for _ in 0..MAX_TRIES {
            let header = self.read_header().await?;
            let raised = StoreHeader { format: to.number(), min_reader: to.number(), ..header };
            if self.backend.raise_format(raised).await? {
                self.observe_format(to.number());
                return Ok(());
            }
        }
        Err(StoreErrorKind::Refused
            .with("the master key is being rotated at the same time: repeat this command")
            .into())
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

    /// Rewrites a webhook unchanged, which seals its secrets. Returns whether this call did so.
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
        event: EventId::generate_in(record.id.partition(), &mut os_rng()),
        action: Action::WebhookUpdated,
        actor: Actor::Operator,
        writes: vec![RecordWrite::replace(webhook, record)],
        secret: None,
        stored_response: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gatepost_test_support::RedisServer;

    use super::*;
    use crate::clock::SystemClock;
    use crate::envelope::{MasterKey, RotationStep};
    use crate::options::StoreOptions;
    use crate::store::{Store, open_backend};
    use crate::url::StoreUrl;

    #[tokio::test]
    async fn raising_the_format_keeps_an_envelope_that_a_rotation_has_replaced() {
        let (redis, directory) = (RedisServer::start(), tempfile::tempdir().unwrap());
        let embedded = format!("embedded:{}", directory.path().display());
        for url in [embedded, redis.url()] {
            let mut options = StoreOptions::new(StoreUrl::parse(&url).unwrap(), Arc::new(SystemClock));
            options.write_format = Format::FIRST;
            let (old, new) = (MasterKey::generate(&mut os_rng()), MasterKey::generate(&mut os_rng()));
            drop(Store::open_or_create(&options, &old).await.unwrap());
            let read = open_backend(&options).await.unwrap().open().await.unwrap().unwrap();
            Store::rotate_master_key(&options, &old, RotationStep::Begin(&new)).await.unwrap();

            let backend = open_backend(&options).await.unwrap();
            let rotated = backend.open().await.unwrap().unwrap();
            let latest = |header: &StoreHeader| {
                let format = Format::LATEST.number();
                StoreHeader { format, min_reader: format, ..header.clone() }
            };
            assert!(!backend.raise_format(latest(&read)).await.unwrap(), "{url}");
            assert_eq!(backend.open().await.unwrap().unwrap(), rotated, "{url}");
            assert!(backend.raise_format(latest(&rotated)).await.unwrap(), "{url}");
            assert_eq!(backend.open().await.unwrap().unwrap(), latest(&rotated), "{url}");
            assert!(backend.raise_format(latest(&read)).await.unwrap(), "{url}: it is raised already");
            assert_eq!(backend.open().await.unwrap().unwrap().envelope, rotated.envelope, "{url}");
        }
    }
}

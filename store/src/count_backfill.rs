//! Counting the records that existed before the store counted them.
//!
//! A store counts once all programs that write to it do, from [`Format::SEALED_WEBHOOKS`](crate::Format) on. Existing
//! records are then counted once, page by page, while commits continue: a commit counts a record if the backfill has
//! already passed the record's position in its index.

use gatepost_domain::id::AccountId;

use crate::cell_store::CellStore;
use crate::error::Result;
use crate::index::{self, IndexName};
use crate::records::MAX_PAGE;

impl CellStore {
    /// Counts the records that existed before the store started counting. Calls `progress` with the number of records
    /// counted so far. If it was interrupted, it resumes where it stopped.
    pub(crate) async fn backfill_counts(&self, mut progress: impl FnMut(u64) + Send) -> Result<()> {
        if !self.backend.begin_counting().await? {
            return Ok(());
        }
        let (mut counted, mut after) = (0, String::new());
        loop {
            let page = self.accounts(&after, MAX_PAGE).await?;
            for account in &page.items {
                self.count_account(&account.record.id, &mut |more| {
                    counted += more;
                    progress(counted);
                })
                .await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return self.backend.end_counting().await,
            }
        }
    }

    async fn count_account(&self, account: &AccountId, progress: &mut (impl FnMut(u64) + Send)) -> Result<()> {
        let indexes = [index::projects_index, index::access_keys_index, index::webhooks_index];
        for index in indexes.map(|index| index(account)) {
            self.count_index(account, index, progress).await?;
        }
        let mut after = String::new();
        loop {
            let page = self.projects(account, &after, MAX_PAGE).await?;
            for project in &page.items {
                self.count_index(account, index::api_keys_index(&project.record.id), progress).await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    async fn count_index(
        &self,
        account: &AccountId,
        index: IndexName,
        progress: &mut (impl FnMut(u64) + Send),
    ) -> Result<()> {
        loop {
            match self.backend.count_page(account.clone(), index.clone(), MAX_PAGE).await? {
                0 => return Ok(()),
                more => progress(more),
            }
        }
    }
}

//! Backfill of account resource counts on Redis. Commits update the counts themselves.

use gatepost_domain::id::AccountId;
use tokio::time::Instant;

use crate::account_resources::AccountResource;
use crate::error::Result;
use crate::index::TIMESTAMP_DIGITS;
use crate::ops::IndexName;
use crate::options::COMMIT_TIMEOUT;

use super::client::{Arguments, Redis};
use super::scripts;

impl Redis {
    pub(crate) async fn begin_counting(&self) -> Result<bool> {
        self.set_counting("begin").await
    }

    pub(crate) async fn end_counting(&self) -> Result<()> {
        self.set_counting("end").await.map(drop)
    }

    pub(crate) async fn account_usage(&self, account: AccountId) -> Result<Option<Vec<u64>>> {
        let names = AccountResource::ALL.into_iter().map(AccountResource::as_str);
        let arguments = names.fold(Arguments::default().text(account.as_str()), Arguments::text);
        let mut reply = self.run_script(&scripts::ACCOUNT_USAGE, COMMIT_TIMEOUT, arguments).await?;
        let is_counted: bool = reply.next()?;
        let counts: Vec<u64> = AccountResource::ALL.into_iter().map(|_| reply.next()).collect::<Result<_>>()?;
        Ok(is_counted.then_some(counts))
    }

    async fn set_counting(&self, action: &str) -> Result<bool> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut reply = self.run_script(&scripts::COUNTING, COMMIT_TIMEOUT, Arguments::default().text(action)).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        reply.next()
    }

    pub(crate) async fn count_page(&self, account: AccountId, index: IndexName, limit: u32) -> Result<u64> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let arguments =
            Arguments::default().text(account.as_str()).bytes(index.0).number(limit).number(TIMESTAMP_DIGITS);
        let mut reply = self.run_script(&scripts::COUNT_PAGE, COMMIT_TIMEOUT, arguments).await?;
        self.inner.connections.confirm(&reply.run, until).await?;
        reply.next()
    }
}

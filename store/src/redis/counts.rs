//! Counting what accounts have, on Redis. Commits do so themselves.

use gatepost_domain::id::AccountId;
use tokio::time::Instant;

use crate::act::IndexName;
use crate::change::MOMENT_DIGITS;
use crate::error::Result;
use crate::options::COMMIT_DEADLINE;

use super::{Arguments, Redis, scripts};

impl Redis {
    pub(crate) async fn begin_counting(&self) -> Result<bool> {
        self.counting("begin").await
    }

    pub(crate) async fn end_counting(&self) -> Result<()> {
        self.counting("end").await.map(drop)
    }

    async fn counting(&self, what: &str) -> Result<bool> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let mut answer = self.act(&scripts::COUNTING, COMMIT_DEADLINE, Arguments::default().text(what)).await?;
        self.inner.connections.confirm(&answer.run, until).await?;
        answer.next()
    }

    pub(crate) async fn count_page(&self, account: AccountId, index: IndexName, limit: u32) -> Result<u64> {
        let until = Instant::now() + COMMIT_DEADLINE;
        let arguments = Arguments::default().text(account.as_str()).bytes(index.0).number(limit).number(MOMENT_DIGITS);
        let mut answer = self.act(&scripts::COUNT_PAGE, COMMIT_DEADLINE, arguments).await?;
        self.inner.connections.confirm(&answer.run, until).await?;
        answer.next()
    }
}

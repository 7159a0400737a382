//! The state of a copy into a store on Redis.

use tokio::time::Instant;

use super::values::convert;
use crate::copied_entry::{CopyTarget, other_copy};
use crate::error::Result;
use crate::options::COMMIT_TIMEOUT;
use crate::redis::header::encode_header;
use crate::redis::{Redis, scripts};
use crate::store_header::{self, StoreHeader};

/// Field of the meta hash with the mark of a copy that has not ended.
const COPY_FIELD: &str = "copy";

impl Redis {
    /// Returns what is there.
    pub(crate) async fn copy_target(&self) -> Result<CopyTarget> {
        let mark: Option<Vec<u8>> = self.query(redis::cmd("HGET").arg(self.meta_key()).arg(COPY_FIELD)).await?;
        if let Some(mark) = mark {
            return Ok(CopyTarget::Unfinished(mark));
        }
        for master in self.inner.connections.masters().await? {
            let mut cursor = 0;
            loop {
                let (next, keys) = self.scan_names(&master, cursor).await?;
                if !keys.is_empty() {
                    return Ok(CopyTarget::InUse);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(CopyTarget::Empty)
    }

    /// Replaces the mark of a copy, see `Backend`.
    pub(crate) async fn mark_copy(&self, expected: Option<Vec<u8>>, mark: Vec<u8>) -> Result<()> {
        let mut invocation = scripts::MARK_COPY.prepare_invoke();
        invocation.key(self.meta_key()).arg(expected.unwrap_or_default()).arg(mark);
        for (field, value) in store_header::unfinished_copy_fields() {
            invocation.arg(field).arg(value);
        }
        let (reply, _) = self.inner.connections.run_script(&invocation, COMMIT_TIMEOUT).await?;
        check_marked(reply)
    }

    /// Removes what an earlier copy has written, its mark last.
    pub(crate) async fn discard_copy(&self) -> Result<()> {
        for master in self.inner.connections.masters().await? {
            let mut cursor = 0;
            loop {
                let (next, mut keys) = self.scan_names(&master, cursor).await?;
                keys.remove(self.meta_key().as_bytes());
                self.remove_keys(keys).await?;
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        self.remove_keys([self.meta_key().into_bytes()]).await
    }

    /// Removes keys one by one: in a cluster they have different slots.
    async fn remove_keys(&self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
        for key in keys {
            self.query::<u64>(redis::cmd("DEL").arg(key)).await?;
        }
        Ok(())
    }

    /// Ends a copy, see `Backend`.
    pub(crate) async fn finish_copy(&self, mark: Vec<u8>, header: StoreHeader, waiting_deliveries: u64) -> Result<()> {
        let until = Instant::now() + COMMIT_TIMEOUT;
        let mut invocation = scripts::FINISH_COPY.prepare_invoke();
        invocation.key(self.meta_key()).arg(mark).arg("deliveries").arg(waiting_deliveries);
        for (field, value) in encode_header(&header) {
            invocation.arg(field).arg(value);
        }
        let (reply, run) = self.inner.connections.run_script(&invocation, COMMIT_TIMEOUT).await?;
        check_marked(reply)?;
        self.inner.connections.confirm(&run, until).await
    }
}

fn check_marked(reply: redis::Value) -> Result<()> {
    if convert(reply)? { Ok(()) } else { Err(other_copy()) }
}

//! Removal of a namespace whose ids are known. Redis could list its keys, but its access control list need not allow that.

use super::client::Redis;
use crate::error::{Result, StoreErrorKind};
use crate::options::COMMIT_TIMEOUT;

/// Name all keys of the store, each as `PREFIX .. 'name'`. A name that ends with a colon is followed by an id.
const KEY_NAMES: [&str; 2] = [include_str!("lua/common.lua"), include_str!("lua/account_counts.lua")];
const KEY_NAME_PREFIX: &str = "PREFIX .. '";

/// Returns the names of all keys with the hash tag of the store, except the meta hash.
pub(super) fn key_names() -> impl Iterator<Item = &'static str> {
    let names_in = |text: &'static str| text.split(KEY_NAME_PREFIX).skip(1);
    KEY_NAMES.into_iter().flat_map(names_in).filter_map(|rest| rest.split('\'').next())
}

impl Redis {
    /// Removes the keys of the store, of which those with a name of their own have one of `names`.
    pub(crate) async fn remove_records(&self, names: &[&[u8]]) -> Result<()> {
        let prefix = format!("{{{}}}:", self.inner.namespace);
        let mut command = redis::cmd("DEL");
        command.arg(self.meta_key());
        for kind in key_names() {
            if kind.ends_with(':') {
                for name in names {
                    command.arg([prefix.as_bytes(), kind.as_bytes(), name].concat());
                }
            } else {
                command.arg(format!("{prefix}{kind}"));
            }
        }
        self.inner.connections.run_command(&command, COMMIT_TIMEOUT).await.map(drop)
    }

    /// Removes the window of a rate limit, the usage of a project, or that of a group of its keys.
    pub(crate) async fn remove_meter(&self, name: &str) -> Result<()> {
        let key = |kind: &str| self.tagged_key(kind, name);
        let mut hours = redis::cmd("ZRANGEBYSCORE");
        hours.arg(key("usage-hours")).arg("-inf").arg("+inf");
        let hours = self.inner.connections.run_rate_limit_command(&hours, COMMIT_TIMEOUT).await?;
        let hours: Vec<String> = redis::from_redis_value(hours).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        let buckets = hours.iter().map(|hour| key(&format!("usage:{hour}")));
        let keys: Vec<String> =
            [key("window"), key("usage-hours"), key("last-used"), key("key-usage"), key("past-usage")]
                .into_iter()
                .chain(buckets)
                .collect();
        let mut command = redis::cmd("DEL");
        command.arg(&keys);
        self.inner.connections.run_rate_limit_command(&command, COMMIT_TIMEOUT).await.map(drop)
    }
}

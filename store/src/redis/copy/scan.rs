//! Listing all keys of a store, from server to server.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::keys::{CopiedKey, classify, pattern};
use super::values::convert;
use crate::copied_entry::CopiedBatch;
use crate::error::{Result, StoreErrorKind};
use crate::options::COMMIT_TIMEOUT;
use crate::redis::Redis;
use crate::redis::info::parse_info;
use crate::redis::topology::Master;

/// Keys that one SCAN looks at.
const SCAN_COUNT: usize = 500;

/// Position in the keys of all servers. It is valid as long as the same runs of the servers have them: after a restart
/// they list their keys in another order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    runs: Vec<String>,
    master: usize,
    cursor: u64,
}

impl Redis {
    /// Reads everything after a position, or from the start.
    pub(crate) async fn read_entries(&self, from: Option<String>, out: mpsc::Sender<CopiedBatch>) -> Result<()> {
        let masters = self.inner.connections.masters().await?;
        let start = Position { runs: self.runs(&masters).await?, master: 0, cursor: 0 };
        let stored = from.and_then(|text| serde_json::from_str::<Position>(&text).ok());
        let mut position = stored.filter(|stored| stored.runs == start.runs).unwrap_or(start);
        while let Some(master) = masters.get(position.master) {
            let (cursor, keys) = self.scan(master, position.cursor).await?;
            self.read_keys(keys, &out).await?;
            position.cursor = cursor;
            position.master += usize::from(cursor == 0);
            let text = serde_json::to_string(&position).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
            let batch = CopiedBatch { entries: Vec::new(), position: Some(text) };
            out.send(batch).await.map_err(|_| StoreErrorKind::Unavailable.with("the copy was given up"))?;
        }
        Ok(())
    }

    /// Returns keys of one server that a copy reads, and the next cursor, which is 0 at the end.
    async fn scan(&self, master: &Master, cursor: u64) -> Result<(u64, Vec<CopiedKey>)> {
        let (next, keys) = self.scan_names(master, cursor).await?;
        let keys = keys.into_iter().filter_map(|key| classify(&self.inner.namespace, key).transpose());
        Ok((next, keys.collect::<Result<_>>()?))
    }

    /// Returns keys of one server, each once, and the next cursor, which is 0 at the end.
    pub(super) async fn scan_names(&self, master: &Master, cursor: u64) -> Result<(u64, BTreeSet<Vec<u8>>)> {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(pattern(&self.inner.namespace)).arg("COUNT").arg(SCAN_COUNT);
        convert(self.inner.connections.run_on_master(master, &command, COMMIT_TIMEOUT).await?)
    }

    /// Returns the names of keys that a copy should write, but has not.
    #[cfg(test)]
    pub(crate) async fn unwritten_key_names(&self) -> Result<Vec<&'static str>> {
        let (mut cursor, mut all) = (0, Vec::new());
        loop {
            let (next, keys) = self.scan_names(&Master::Single, cursor).await?;
            all.extend(keys);
            if next == 0 {
                return Ok(super::keys::missing_names(&all));
            }
            cursor = next;
        }
    }

    async fn runs(&self, masters: &[Master]) -> Result<Vec<String>> {
        let mut runs = Vec::with_capacity(masters.len());
        for master in masters {
            let info = redis::cmd("INFO");
            let text: String = convert(self.inner.connections.run_on_master(master, &info, COMMIT_TIMEOUT).await?)?;
            runs.push(parse_info(&text).get("run_id").copied().unwrap_or_default().to_owned());
        }
        Ok(runs)
    }
}

//! Writing entries of another store.

use futures::stream::{self, StreamExt, TryStreamExt};
use redis::Cmd;

use gatepost_domain::time::Version;

use super::commands;
use super::pending::Writes;
use super::queue_values::parse_quarantined;
use super::values::convert;
use crate::copied_entry::{CopiedChange, CopiedEntry};
use crate::error::{Result, StoreErrorKind};
use crate::options::{COMMIT_TIMEOUT, HOURLY_RETENTION_HOURS};
use crate::record_format::{format_version, parse_version};
use crate::redis::{Redis, scripts};

/// Writes of rate limits and usage that run at the same time.
const CONCURRENT_WRITES: usize = 64;
/// Uses that one script writes.
const USES_PER_SCRIPT: usize = 100;

impl Redis {
    /// Writes entries of another store.
    pub(crate) async fn write_entries(&self, entries: Vec<CopiedEntry>) -> Result<()> {
        let mut writes = Writes::default();
        for entry in entries {
            commands::add(&mut writes, self, entry);
        }
        self.add_changes(&mut writes).await?;
        self.add_quarantined(&mut writes).await?;
        if !writes.records.is_empty() {
            self.inner.connections.run_pipeline(&writes.records, COMMIT_TIMEOUT).await?;
        }
        let meters = stream::iter(writes.meters.iter().map(|commands| self.run_in_order(commands)));
        meters.buffer_unordered(CONCURRENT_WRITES).try_collect::<()>().await?;
        for ((project, hour), usage) in &writes.usage {
            for uses in usage.chunks(USES_PER_SCRIPT) {
                self.write_usage(project, *hour, uses).await?;
            }
        }
        Ok(())
    }

    async fn run_in_order(&self, commands: &[Cmd]) -> Result<()> {
        for command in commands {
            self.inner.connections.run_rate_limit_command(command, COMMIT_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Adds stream entries after the last one that is there. They come in the order of their positions.
    async fn add_changes(&self, writes: &mut Writes) -> Result<()> {
        if writes.changes.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.record_key("stream", b"")).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Vec<(String, redis::Value)> = self.query(&command).await?;
        let last = last.first().map_or(Ok(Version::ZERO), |(id, _)| parse_version(id))?;
        let changes = std::mem::take(&mut writes.changes);
        for change in changes.iter().filter(|change| last < change.version) {
            writes.record(self, "XADD", ("stream", ""), change_arguments(change));
        }
        Ok(())
    }

    /// Adds items to the quarantine after the last one that is there. They come in the order of their positions.
    async fn add_quarantined(&self, writes: &mut Writes) -> Result<()> {
        if writes.quarantined.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("LRANGE");
        let last: Vec<Vec<u8>> = self.query(command.arg(self.record_key("quarantine", b"")).arg(-1).arg(-1)).await?;
        let last = match last.first().map(|item| parse_quarantined(item)).transpose()? {
            Some(CopiedEntry::Quarantined { version, .. }) => version.as_u64(),
            _ => 0,
        };
        let items = std::mem::take(&mut writes.quarantined);
        for (_, item) in items.into_iter().filter(|(version, _)| last < *version) {
            writes.record(self, "RPUSH", ("quarantine", ""), item);
        }
        Ok(())
    }

    async fn write_usage(&self, project: &str, hour: u64, uses: &[(String, u64)]) -> Result<()> {
        let mut invocation = scripts::COPY_HOURLY_USAGE.prepare_invoke();
        invocation.key(self.tagged_key("usage-hours", project)).arg(hour).arg(HOURLY_RETENTION_HOURS);
        for (key, count) in uses {
            invocation.arg(key).arg(*count);
        }
        let reply = self.inner.connections.run_rate_limit_script(&invocation, COMMIT_TIMEOUT).await?;
        convert::<Option<u64>>(reply).map(drop).map_err(|error| StoreErrorKind::Corrupt.with(error))
    }
}

/// Arguments of XADD, as in `append.lua`.
fn change_arguments(change: &CopiedChange) -> Vec<Vec<u8>> {
    let fenced = if change.is_fenced { "1" } else { "0" };
    let format = change.format.to_string();
    let fields: [(&str, &[u8]); 8] = [
        ("v", format.as_bytes()),
        ("e", change.event.as_bytes()),
        ("a", change.action.as_bytes()),
        ("s", change.scope.as_bytes()),
        ("d", &change.scope_data),
        ("f", fenced.as_bytes()),
        ("h", change.head.as_bytes()),
        ("i", change.image.as_bytes()),
    ];
    let mut arguments = vec![format_version(change.version).into_bytes()];
    for (field, value) in fields {
        arguments.extend([field.as_bytes().to_vec(), value.to_vec()]);
    }
    arguments
}

//! Removal of everything that a trial wrote, without a command that lists keys.

use crate::error::Result;
use crate::redis::Redis;

/// Part of the name of keys on Redis.
pub(super) enum TrialName {
    /// End of the name of keys of the store: an id, an index, a digest.
    Record(Vec<u8>),
    /// Hash tag of a rate limit or of a project's usage.
    Meter(String),
}

pub(super) async fn remove(redis: &Redis, names: &[TrialName]) -> Result<()> {
    let records = names.iter().filter_map(|name| match name {
        TrialName::Record(name) => Some(name.as_slice()),
        TrialName::Meter(_) => None,
    });
    redis.remove_records(&records.collect::<Vec<_>>()).await?;
    for name in names {
        if let TrialName::Meter(name) = name {
            redis.remove_meter(name).await?;
        }
    }
    Ok(())
}

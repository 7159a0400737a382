//! Version and settings of a Redis: what may lose acknowledged writes is refused or warned of.

use std::collections::HashMap;

use crate::error::{Result, StoreErrorKind};
use crate::options::{COMMIT_TIMEOUT, UnsafeRedis};

use crate::url::RedisUrl;

use super::connection::Connections;

/// The oldest major version of Redis, and of Valkey, that has all we use: script flags.
const MIN_MAJOR: u32 = 7;

/// Percent of `maxmemory` from which Redis counts as full: at the limit it frees and refuses in turn.
const FULL_PERCENT: u64 = 95;

/// Refuses what must not be, and answers warnings for the rest.
pub(super) async fn check(connections: &Connections, url: &RedisUrl, unsafe_redis: UnsafeRedis) -> Result<Vec<String>> {
    let info = connections.run_command(&redis::cmd("INFO"), COMMIT_TIMEOUT).await?;
    let text: String = redis::from_redis_value(info).map_err(|error| StoreErrorKind::Refused.with(error))?;
    let info = parse_info(&text);
    let server = Server::from_info(&info);
    tracing::info!(server = server.name, version = server.version, "connected to the server of the store");
    let (faults, warnings) = check_info(&info, url);
    match unsafe_redis {
        UnsafeRedis::Allowed => Ok([faults, warnings].concat()),
        UnsafeRedis::Refused if faults.is_empty() => Ok(warnings),
        UnsafeRedis::Refused => Err(StoreErrorKind::Refused.with(format!(
            "{}; change it, or set store.allow_unsafe_redis = true to run all the same",
            faults.join("; ")
        ))),
    }
}

/// Why Redis refuses ordinary writes now; none if it does not.
pub(super) async fn full_reason(connections: &Connections) -> Result<Option<String>> {
    let memory = connections.run_command(redis::cmd("INFO").arg("memory"), COMMIT_TIMEOUT).await?;
    let text: String = redis::from_redis_value(memory).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let info = parse_info(&text);
    let bytes = |name: &str| info.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let (used, max) = (bytes("used_memory"), bytes("maxmemory"));
    let is_full = max > 0 && used >= max.saturating_mul(FULL_PERCENT) / 100;
    Ok(is_full.then(|| format!("Redis uses {used} bytes of its maxmemory {max}, where it refuses what is new")))
}

fn parse_info(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

/// The server, by what it says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Server<'a> {
    name: &'static str,
    version: &'a str,
}

impl<'a> Server<'a> {
    /// Every Valkey also claims to be Redis 7.2.4, for clients that know no other.
    fn from_info(info: &HashMap<&'a str, &'a str>) -> Self {
        match info.get("valkey_version") {
            Some(version) => Self { name: "Valkey", version },
            None => Self { name: "Redis", version: info.get("redis_version").copied().unwrap_or_default() },
        }
    }

    fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

/// Faults and warnings.
fn check_info(info: &HashMap<&str, &str>, url: &RedisUrl) -> (Vec<String>, Vec<String>) {
    let value = |name: &str| info.get(name).copied().unwrap_or_default();
    let mut faults = Vec::new();
    let server = Server::from_info(info);
    if server.major().is_none_or(|major| major < MIN_MAJOR) {
        faults.push(format!("{} has version {:?}, {MIN_MAJOR}.0 or later is needed", server.name, server.version));
    }
    let policy = value("maxmemory_policy");
    if value("maxmemory") != "0" && policy != "noeviction" {
        faults.push(format!("Redis may evict keys: maxmemory-policy is {policy}, noeviction is needed"));
    }
    // It stands there only where min-replicas-to-write is above 0.
    if matches!(url, RedisUrl::Sentinel { .. }) && !info.contains_key("min_slaves_good_slaves") {
        let fault = "min-replicas-to-write is 0: a master that was cut off would go on to acknowledge writes that are \
                     lost when it comes back; at least 1 is needed with Sentinel";
        faults.push(fault.to_owned());
    }
    let mut warnings = Vec::new();
    if value("aof_enabled") != "1" {
        warnings.push(
            "Redis has no append-only file (appendonly no): writes that were acknowledged are lost when it stops"
                .to_owned(),
        );
    }
    (faults, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_counts(info: &str) -> (usize, usize) {
        fault_counts_at(info, &RedisUrl::Standalone(String::new()))
    }

    fn fault_counts_at(info: &str, url: &RedisUrl) -> (usize, usize) {
        let (faults, warnings) = check_info(&parse_info(info), url);
        (faults.len(), warnings.len())
    }

    #[test]
    fn valkey_is_checked_by_its_own_version() {
        let redis = parse_info("redis_version:8.2.3\r\n");
        assert_eq!(Server::from_info(&redis), Server { name: "Redis", version: "8.2.3" });
        let text = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!(Server::from_info(&parse_info(text)), Server { name: "Valkey", version: "9.1.2" });
        let old = text.replace("9.1.2", "6.0.0");
        let (faults, _) = check_info(&parse_info(&old), &RedisUrl::Standalone(String::new()));
        assert_eq!(faults[0], "Valkey has version \"6.0.0\", 7.0 or later is needed");
    }

    #[test]
    fn old_versions_and_eviction_are_faults_and_a_missing_file_a_warning() {
        let good = "redis_version:7.0.15\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        assert_eq!(fault_counts(good), (0, 0));
        assert_eq!(fault_counts(&good.replace("7.0.15", "6.2.1")), (1, 0));
        assert_eq!(fault_counts(&good.replace("noeviction", "allkeys-lru")), (0, 0));
        let evicting = good.replace("maxmemory:0", "maxmemory:1000").replace("noeviction", "allkeys-lru");
        assert_eq!(fault_counts(&evicting), (1, 0));
        assert_eq!(fault_counts(&good.replace("aof_enabled:1", "aof_enabled:0")), (0, 1));
        let sentinel = RedisUrl::Sentinel { sentinels: vec![], master: String::new(), server: String::new() };
        assert_eq!(fault_counts_at(good, &sentinel), (1, 0));
        assert_eq!(fault_counts_at(&format!("{good}min_slaves_good_slaves:0\r\n"), &sentinel), (0, 0));
        assert_eq!(fault_counts(""), (2, 1));
    }
}

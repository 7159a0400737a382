//! Checks of the server's version and settings: those that can lose acknowledged writes are refused or warned about.

use std::collections::HashMap;

use crate::error::{Result, StoreErrorKind};
use crate::options::{COMMIT_TIMEOUT, UnsafeRedis};

use crate::store_server::StoreServer;
use crate::url::RedisUrl;

use super::connection::Connections;
use super::info::parse_info;

/// Lowest supported major version of Redis and of Valkey: script flags need it.
const MIN_MAJOR: u32 = 7;

/// Percentage of `maxmemory` at which Redis counts as full. At the limit it alternates between freeing and refusing.
const FULL_PERCENT: u64 = 95;

/// Returns the warnings; fails if there are faults that are not allowed.
pub(super) async fn check(connections: &Connections, url: &RedisUrl, unsafe_redis: UnsafeRedis) -> Result<Vec<String>> {
    let info = connections.run_command(&redis::cmd("INFO"), COMMIT_TIMEOUT).await?;
    let text: String = redis::from_redis_value(info).map_err(|error| StoreErrorKind::Refused.with(error))?;
    let info = parse_info(&text);
    let server = StoreServer::from_info(&info);
    tracing::info!(server = server.name, version = %server.version, "connected to the store's server");
    let (faults, warnings) = check_info(&info, url);
    match unsafe_redis {
        UnsafeRedis::Allowed => Ok([faults, warnings].concat()),
        UnsafeRedis::Refused if faults.is_empty() => Ok(warnings),
        UnsafeRedis::Refused => Err(StoreErrorKind::Refused
            .with(format!("{}; change it, or set store.allow_unsafe_redis = true to start anyway", faults.join("; ")))),
    }
}

/// Returns why Redis refuses ordinary writes at the moment; `None` if it accepts them.
pub(super) async fn full_reason(connections: &Connections) -> Result<Option<String>> {
    let memory = connections.run_command(redis::cmd("INFO").arg("memory"), COMMIT_TIMEOUT).await?;
    let text: String = redis::from_redis_value(memory).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
    let info = parse_info(&text);
    let bytes = |name: &str| info.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let (used, max) = (bytes("used_memory"), bytes("maxmemory"));
    let is_full = max > 0 && used >= max.saturating_mul(FULL_PERCENT) / 100;
    Ok(is_full.then(|| format!("Redis uses {used} of {max} bytes of maxmemory and refuses new data")))
}

/// Returns faults and warnings.
fn check_info(info: &HashMap<&str, &str>, url: &RedisUrl) -> (Vec<String>, Vec<String>) {
    let value = |name: &str| info.get(name).copied().unwrap_or_default();
    let mut faults = Vec::new();
    let server = StoreServer::from_info(info);
    if server.major().is_none_or(|major| major < MIN_MAJOR) {
        faults.push(format!("{} has version {:?}, {MIN_MAJOR}.0 or later is required", server.name, server.version));
    }
    let policy = value("maxmemory_policy");
    if value("maxmemory") != "0" && policy != "noeviction" {
        faults.push(format!("Redis may evict keys: maxmemory-policy is {policy}, but noeviction is required"));
    }
    // Redis reports this field only if min-replicas-to-write is above 0.
    if matches!(url, RedisUrl::Sentinel { .. }) && !info.contains_key("min_slaves_good_slaves") {
        let fault = "min-replicas-to-write is 0: a partitioned master would go on to acknowledge writes that are \
                             lost when it rejoins; Sentinel requires at least 1";
        faults.push(fault.to_owned());
    }
    let mut warnings = Vec::new();
    if value("aof_enabled") != "1" {
        warnings.push(
            "Redis has no append-only file (appendonly no): acknowledged writes are lost when it stops".to_owned(),
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
        assert_eq!(StoreServer::from_info(&redis).to_string(), "Redis 8.2.3");
        let text = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n";
        assert_eq!(StoreServer::from_info(&parse_info(text)).to_string(), "Valkey 9.1.2");
        let old = text.replace("9.1.2", "6.0.0");
        let (faults, _) = check_info(&parse_info(&old), &RedisUrl::Standalone(String::new()));
        assert_eq!(faults[0], "Valkey has version \"6.0.0\", 7.0 or later is required");
    }

    #[test]
    fn old_versions_and_eviction_are_faults_and_a_missing_append_only_file_is_a_warning() {
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

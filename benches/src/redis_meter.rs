//! What a Redis has used so far, as it reports it.

use anyhow::Context;
use gatepost_test_support::RedisServer;

/// Adds up what all keys take, with all their fields.
const BYTES_OF_ALL_KEYS: &str = "local sum = 0 \
    for _, key in ipairs(redis.call('KEYS', '*')) do sum = sum + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end \
    return sum";

/// Processor time and traffic of a Redis since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RedisReading {
    cpu_s: f64,
    sent_bytes: f64,
}

impl RedisReading {
    pub(crate) fn of(redis: &RedisServer) -> anyhow::Result<Self> {
        let info = redis.redis_cli(&["info", "everything"]);
        let number = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse::<f64>().ok()).with_context(|| format!("Redis reports no {name}"))
        };
        Ok(Self {
            cpu_s: number("used_cpu_user")? + number("used_cpu_sys")?,
            sent_bytes: number("total_net_output_bytes")?,
        })
    }

    /// Returns the processor time since another reading, in seconds.
    pub(crate) fn cpu_s_since(self, earlier: Self) -> f64 {
        self.cpu_s - earlier.cpu_s
    }

    /// Returns the bytes that were sent since another reading.
    pub(crate) fn sent_bytes_since(self, earlier: Self) -> f64 {
        self.sent_bytes - earlier.sent_bytes
    }
}

/// Returns the bytes that the keys of a Redis take. Buffers, which take 100 KB at some times, are not included.
pub(crate) fn data_bytes(redis: &RedisServer) -> anyhow::Result<f64> {
    redis.redis_cli(&["eval", BYTES_OF_ALL_KEYS, "0"]).parse().context("Redis does not say what its keys take")
}

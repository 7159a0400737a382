//! What a Redis has used so far, as it reports it.

use anyhow::Context;
use gatepost_test_support::RedisServer;

/// Processor time, traffic and memory of a Redis since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RedisReading {
    cpu_s: f64,
    sent_bytes: f64,
    memory_bytes: f64,
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
            memory_bytes: number("used_memory")?,
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

    /// Returns the bytes of memory that are used more than at another reading.
    pub(crate) fn memory_bytes_since(self, earlier: Self) -> f64 {
        self.memory_bytes - earlier.memory_bytes
    }
}

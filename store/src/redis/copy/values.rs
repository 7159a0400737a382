//! Commands of a copy, and how their replies are read.

use redis::{Cmd, FromRedisValue, Value};

use crate::error::{Result, StoreErrorKind};
use crate::options::COMMIT_TIMEOUT;
use crate::redis::Redis;

/// Fields or members that one command reads.
pub(super) const CHUNK: isize = 200;

impl Redis {
    /// Sends a command to the server that has its key.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        convert(self.inner.connections.run_rate_limit_command(command, COMMIT_TIMEOUT).await?)
    }

    /// Returns the key of the store with this name.
    pub(super) fn record_key(&self, kind: &str, name: &[u8]) -> Vec<u8> {
        [format!("{{{}}}:{kind}", self.inner.namespace).as_bytes(), name].concat()
    }

    /// Returns the next fields of a hash and their values, and moves the cursor, which is 0 at the start and at the end.
    pub(super) async fn hash_chunk(&self, key: &[u8], cursor: &mut u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (next, fields): (u64, Value) =
            self.query(redis::cmd("HSCAN").arg(key).arg(*cursor).arg("COUNT").arg(CHUNK)).await?;
        *cursor = next;
        convert(fields)
    }

    /// Returns members of a sorted set and their scores, from a rank on.
    pub(super) async fn set_chunk(&self, key: &[u8], rank: isize) -> Result<Vec<(Vec<u8>, f64)>> {
        let mut command = redis::cmd("ZRANGE");
        self.query(command.arg(key).arg(rank).arg(rank + CHUNK - 1).arg("WITHSCORES")).await
    }

    /// Returns the values of some fields of a hash.
    pub(super) async fn fields(&self, key: &[u8], fields: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        self.query(redis::cmd("HMGET").arg(key).arg(fields)).await
    }

    /// Returns the scores of some members of a sorted set.
    pub(super) async fn scores(&self, key: &[u8], members: &[Vec<u8>]) -> Result<Vec<Option<f64>>> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        self.query(redis::cmd("ZMSCORE").arg(key).arg(members)).await
    }
}

pub(super) fn convert<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

pub(super) fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

/// Parses a decimal number.
pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Result<T> {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| StoreErrorKind::Corrupt.with(format!("{:?} is not a number", String::from_utf8_lossy(bytes))))
}

/// Returns a score as a time in ms or a sequence. Scores are whole numbers below 2^53.
#[expect(clippy::cast_possible_truncation, reason = "scores are whole numbers, see above")]
pub(super) fn whole(score: f64) -> i64 {
    score as i64
}

/// Like [`whole`], for a score that is not negative.
pub(super) fn whole_unsigned(score: f64) -> u64 {
    u64::try_from(whole(score)).unwrap_or(0)
}

/// Splits at the first line break.
pub(super) fn first_line(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let at = at.ok_or_else(|| StoreErrorKind::Corrupt.with("a stored value has no line break"))?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

//! Parsing of script replies: a status, then values in order.

use std::collections::VecDeque;

use gatepost_domain::time::{Timestamp, Version};
use redis::{FromRedisValue, Value};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format;
use crate::ops::RawRecord;
use crate::record_format::{decode_record, parse_version};

use super::master_connection::RunId;

/// A reply, whose remaining values are read in order.
#[derive(Debug)]
pub(super) struct Reply {
    /// First value: the outcome.
    pub(super) status: String,
    /// The run of the server that replied.
    pub(super) run: RunId,
    rest: VecDeque<Value>,
}

impl Reply {
    /// Parses a reply. A wrong store or an unreadable format is an error for every operation.
    pub(super) fn parse((value, run): (Value, RunId)) -> Result<Self> {
        let values: Vec<Value> = convert(value)?;
        let mut rest = VecDeque::from(values);
        let status: String = convert(rest.pop_front().unwrap_or(Value::Nil))?;
        let mut reply = Self { status, run, rest };
        match reply.status.as_str() {
            "wrong-store" => Err(wrong_store()),
            "unreadable" => Err(StoreErrorKind::Refused.with(format::unsupported_format_message(reply.next()?))),
            _ => Ok(reply),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next value; a missing one is read as nil.
    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T> {
        convert(self.rest.pop_front().unwrap_or(Value::Nil))
    }

    /// Returns the next value as a position.
    pub(super) fn version(&mut self) -> Result<Version> {
        parse_version(&self.next::<String>()?)
    }

    /// Returns the next value as a timestamp.
    pub(super) fn timestamp(&mut self) -> Result<Timestamp> {
        self.next().map(Timestamp::from_ms)
    }

    /// Returns the next two values as a record, if there is one, and its first use.
    pub(super) fn record(&mut self) -> Result<Option<RawRecord>> {
        let bytes: Option<Vec<u8>> = self.next()?;
        let first_use: Option<u64> = self.next()?;
        bytes.map(|bytes| decode_record(&bytes, first_use.map(Timestamp::from_ms))).transpose()
    }

    /// Returns the error for a status that this version does not know.
    pub(super) fn unexpected_status<T>(&self) -> Result<T> {
        Err(StoreErrorKind::Corrupt.with(format!("a script returned the unexpected status {:?}", self.status)))
    }
}

/// Returns the error of every operation on a store that was emptied or replaced.
pub(super) fn wrong_store() -> StoreError {
    StoreErrorKind::WrongStore.with("another store, or none, is at this address; Redis may have been emptied")
}

fn convert<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

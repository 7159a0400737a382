//! Reading a script's answer: a word, then values in order.

use std::collections::VecDeque;

use gatepost_domain::time::{Timestamp, Version};
use redis::{FromRedisValue, Value};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format;
use crate::ops::RawRecord;
use crate::record_format::{decode_record, parse_version};

use super::master_connection::RunId;

/// The rest of an answer, read from the front.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its first value: what happened.
    pub(super) status: String,
    /// Which run of which server answered.
    pub(super) run: RunId,
    rest: VecDeque<Value>,
}

impl Reply {
    /// Takes an answer apart; that the store is another one is a failure of every act.
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

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value.
    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T> {
        convert(self.rest.pop_front().unwrap_or(Value::Nil))
    }

    /// The next value as a position.
    pub(super) fn version(&mut self) -> Result<Version> {
        parse_version(&self.next::<String>()?)
    }

    /// The next value as a moment.
    pub(super) fn timestamp(&mut self) -> Result<Timestamp> {
        self.next().map(Timestamp::from_ms)
    }

    /// The next two values as a record, if there is one, and its first use.
    pub(super) fn record(&mut self) -> Result<Option<RawRecord>> {
        let bytes: Option<Vec<u8>> = self.next()?;
        let first_use: Option<u64> = self.next()?;
        bytes.map(|bytes| decode_record(&bytes, first_use.map(Timestamp::from_ms))).transpose()
    }

    /// An answer whose word this version does not know.
    pub(super) fn unexpected_status<T>(&self) -> Result<T> {
        Err(StoreErrorKind::Corrupt.with(format!("a script answered {:?}", self.status)))
    }
}

/// The failure of every act on a store that was emptied or exchanged.
pub(super) fn wrong_store() -> StoreError {
    StoreErrorKind::WrongStore.with("there is another store at this address, or none; it may have been emptied")
}

fn convert<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

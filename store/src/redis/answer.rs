//! Reading a script's answer: a word, then values in order.

use std::collections::VecDeque;

use gatepost_domain::time::{Timestamp, Version};
use redis::{FromRedisValue, Value};

use crate::act::RawRecord;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::format;
use crate::packed::{parse_version, unpack};

use super::link::RunId;

/// The rest of an answer, read from the front.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its first value: what happened.
    pub(super) word: String,
    /// Which run of which server answered.
    pub(super) run: RunId,
    rest: VecDeque<Value>,
}

impl Answer {
    /// Takes an answer apart; that the store is another one is a failure of every act.
    pub(super) fn of((value, run): (Value, RunId)) -> Result<Self> {
        let values: Vec<Value> = read(value)?;
        let mut rest = VecDeque::from(values);
        let word: String = read(rest.pop_front().unwrap_or(Value::Nil))?;
        let mut answer = Self { word, run, rest };
        match answer.word.as_str() {
            "wrong-store" => Err(wrong_store()),
            "unreadable" => Err(StoreErrorKind::Refused.with(format::unreadable(answer.next()?))),
            _ => Ok(answer),
        }
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value.
    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T> {
        read(self.rest.pop_front().unwrap_or(Value::Nil))
    }

    /// The next value as a position.
    pub(super) fn version(&mut self) -> Result<Version> {
        parse_version(&self.next::<String>()?)
    }

    /// The next value as a moment.
    pub(super) fn moment(&mut self) -> Result<Timestamp> {
        self.next().map(Timestamp::from_ms)
    }

    /// The next two values as a record, if there is one, and its first use.
    pub(super) fn record(&mut self) -> Result<Option<RawRecord>> {
        let bytes: Option<Vec<u8>> = self.next()?;
        let first_use: Option<u64> = self.next()?;
        bytes.map(|bytes| unpack(&bytes, first_use.map(Timestamp::from_ms))).transpose()
    }

    /// An answer whose word this version does not know.
    pub(super) fn unknown<T>(&self) -> Result<T> {
        Err(StoreErrorKind::Corrupt.with(format!("a script answered {:?}", self.word)))
    }
}

/// The failure of every act on a store that was emptied or exchanged.
pub(super) fn wrong_store() -> StoreError {
    StoreErrorKind::WrongStore.with("there is another store at this address, or none; it may have been emptied")
}

fn read<T: FromRedisValue>(value: Value) -> Result<T> {
    redis::from_redis_value(value).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

//! A member of a body that may be absent, null or there: on a change, absent leaves and null clears.

use serde::{Deserialize, Deserializer};

use crate::failure::Result;

/// What a caller said of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// That there shall be none.
    Null,
    /// This.
    Value(T),
}

impl<T> Given<T> {
    /// The value, where nothing and null mean the same.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Given::Absent | Given::Null => None,
            Given::Value(value) => Some(value),
        }
    }

    /// The same of another kind.
    pub(crate) fn map<U>(self, view: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => Given::Value(view(value)),
        }
    }

    /// The same of another kind that not every value is.
    pub(crate) fn try_map<U>(self, parse: impl FnOnce(T) -> Result<U>) -> Result<Given<U>> {
        Ok(match self {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => Given::Value(parse(value)?),
        })
    }

    /// Changes what stands in a record.
    pub(super) fn set<U>(self, field: &mut Option<U>, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Given::Absent => {}
            Given::Null => *field = None,
            Given::Value(value) => *field = Some(parse(value)?),
        }
        Ok(())
    }

    /// The same for a field that is never absent, but has a value that means nothing.
    pub(super) fn set_or_default<U: Default>(self, field: &mut U, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Given::Absent => {}
            Given::Null => *field = U::default(),
            Given::Value(value) => *field = parse(value)?,
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Given::Null, Given::Value))
    }
}

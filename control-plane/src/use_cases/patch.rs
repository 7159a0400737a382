//! A member of a body that may be absent, null or there: on a change, absent leaves and null clears.

use crate::failure::Result;

/// What a caller said of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Nothing.
    #[default]
    Absent,
    /// That there shall be none.
    Null,
    /// This.
    Value(T),
}

impl<T> Patch<T> {
    /// The value, where nothing and null mean the same.
    pub fn into_option(self) -> Option<T> {
        match self {
            Patch::Absent | Patch::Null => None,
            Patch::Value(value) => Some(value),
        }
    }

    /// The same of another kind.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(value) => Patch::Value(view(value)),
        }
    }

    /// The same of another kind that not every value is.
    pub fn try_map<U>(self, parse: impl FnOnce(T) -> Result<U>) -> Result<Patch<U>> {
        Ok(match self {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(value) => Patch::Value(parse(value)?),
        })
    }

    /// Changes what stands in a record.
    pub(super) fn apply_to<U>(self, field: &mut Option<U>, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Patch::Absent => {}
            Patch::Null => *field = None,
            Patch::Value(value) => *field = Some(parse(value)?),
        }
        Ok(())
    }

    /// The same for a field that is never absent, but has a value that means nothing.
    pub(super) fn apply_or_default<U: Default>(self, field: &mut U, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Patch::Absent => {}
            Patch::Null => *field = U::default(),
            Patch::Value(value) => *field = parse(value)?,
        }
        Ok(())
    }
}

//! Members of a change that may be absent, null or present: absent leaves a value as it is, and null clears it.

use crate::failure::Result;

/// One member of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> From<Option<T>> for Patch<T> {
    /// Converts a member of a new resource, where absent and null mean the default.
    fn from(value: Option<T>) -> Self {
        value.map_or(Patch::Null, Patch::Value)
    }
}

impl<T> Patch<T> {
    /// Returns the value, where absent and null mean the same.
    pub fn into_option(self) -> Option<T> {
        match self {
            Patch::Absent | Patch::Null => None,
            Patch::Value(value) => Some(value),
        }
    }

    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(value) => Patch::Value(view(value)),
        }
    }

    /// Converts the value, if that succeeds.
    pub fn try_map<U>(self, parse: impl FnOnce(T) -> Result<U>) -> Result<Patch<U>> {
        Ok(match self {
            Patch::Absent => Patch::Absent,
            Patch::Null => Patch::Null,
            Patch::Value(value) => Patch::Value(parse(value)?),
        })
    }

    /// Applies the change to a field that may be absent.
    pub(super) fn apply_to<U>(self, field: &mut Option<U>, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Patch::Absent => {}
            Patch::Null => *field = None,
            Patch::Value(value) => *field = Some(parse(value)?),
        }
        Ok(())
    }

    /// Applies the change to a field whose default value means absent.
    pub(super) fn apply_or_default<U: Default>(self, field: &mut U, parse: impl FnOnce(T) -> Result<U>) -> Result<()> {
        match self {
            Patch::Absent => {}
            Patch::Null => *field = U::default(),
            Patch::Value(value) => *field = parse(value)?,
        }
        Ok(())
    }
}

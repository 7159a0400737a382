//! Members of bodies that may be absent, null or present: `#[serde(default, with = "patch")]`.

use gatepost_control_plane::Patch;
use serde::{Deserialize, Deserializer};

/// Deserializes a member that is present; an absent one is the default.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Patch<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.map_or(Patch::Null, Patch::Value))
}

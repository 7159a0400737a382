//! What callers say of a key, read in one way for making and for changing it.

use std::collections::BTreeSet;

use gatepost_domain::record::{ApiKey, Metadata};
use gatepost_domain::time::Timestamp;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::use_cases::given::Given;
use crate::use_cases::text;

/// Bytes of a key's metadata.
const MAX_METADATA_BYTES: usize = 16 * 1024;
/// Permissions of a key.
const MAX_PERMISSIONS: usize = 100;

/// The members of a key that its maker may choose and change.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyFields {
    pub(crate) name: Given<String>,
    pub(crate) key: Given<String>,
    pub(crate) metadata: Given<Value>,
    pub(crate) custom_account_id: Given<String>,
    pub(crate) custom_user_id: Given<String>,
    pub(crate) expiry: Given<String>,
    pub(crate) permissions: Given<Vec<String>>,
}

impl KeyFields {
    /// Changes a key, all but its value.
    pub(super) fn apply(self, key: &mut ApiKey) -> Result<()> {
        match self.name {
            Given::Absent => {}
            Given::Null => return Err(Failure::invalid("name: must not be empty")),
            Given::Value(name) => key.name = text::name(Some(name))?,
        }
        self.metadata.set_or_default(&mut key.metadata, metadata)?;
        self.custom_account_id.set(&mut key.custom_account_id, |id| text::checked("customAccountId", id))?;
        self.custom_user_id.set(&mut key.custom_user_id, |id| text::checked("customUserId", id))?;
        self.expiry.set(&mut key.expires_at, |text| expiry(&text))?;
        self.permissions.set_or_default(&mut key.permissions, permissions)
    }
}

fn metadata(value: Value) -> Result<Metadata> {
    // Stored as one line: a line end inside it would end the record's line.
    let text = value.to_string();
    if text.len() > MAX_METADATA_BYTES {
        return Err(Failure::invalid(format!("customMetaData: has more than {MAX_METADATA_BYTES} bytes")));
    }
    Ok(Metadata(text))
}

fn expiry(text: &str) -> Result<Timestamp> {
    Timestamp::parse(text).map_err(|error| Failure::invalid(format!("expiry: {error}")))
}

fn permissions(names: Vec<String>) -> Result<Vec<String>> {
    if names.len() > MAX_PERMISSIONS {
        return Err(Failure::invalid(format!("permissions: has more than {MAX_PERMISSIONS}")));
    }
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Failure::invalid("permissions: must not hold an empty one"));
    }
    let checked: BTreeSet<String> =
        names.into_iter().map(|name| text::checked("permissions", name)).collect::<Result<_>>()?;
    Ok(checked.into_iter().collect())
}

//! What callers send about keys.

use gatepost_domain::record::CreationContext;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::use_cases::api_keys::{KeyFields, NewApiKey};
use crate::use_cases::given::Given;

/// The members of a key that can be chosen and changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyMembers {
    /// Its value: 8 to 512 visible ASCII characters without `/ ? # %`. A new key gets one drawn by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    key: Given<String>,
    /// Anything you want to find again, up to 16 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Object, required = false)]
    custom_meta_data: Given<Value>,
    /// Your own id of the customer. The upstream sees it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    custom_account_id: Given<String>,
    /// Your own id of the customer's user. The upstream sees it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    custom_user_id: Given<String>,
    /// When it shall expire: RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` (UTC).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    expiry: Given<String>,
    /// What it may do, for routes that ask; up to 100 names.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Given<Vec<String>>,
}

impl KeyMembers {
    fn fields(self, name: Given<String>) -> KeyFields {
        KeyFields {
            name,
            key: self.key,
            metadata: self.custom_meta_data,
            custom_account_id: self.custom_account_id,
            custom_user_id: self.custom_user_id,
            expiry: self.expiry,
            permissions: self.permissions,
        }
    }
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateApiKey {
    /// Its name.
    #[schema(required)]
    name: Option<String>,
    /// Its project; not needed with an access key of a project.
    project_id: Option<String>,
    /// The end user's address.
    #[serde(rename = "clientIP")]
    client_ip: Option<String>,
    /// The end user's user agent.
    client_user_agent: Option<String>,
    #[serde(flatten)]
    members: KeyMembers,
}

impl From<CreateApiKey> for NewApiKey {
    fn from(new: CreateApiKey) -> Self {
        Self {
            project: new.project_id,
            fields: new.members.fields(new.name.map_or(Given::Absent, Given::Value)),
            context: CreationContext { client_ip: new.client_ip, client_user_agent: new.client_user_agent },
        }
    }
}

/// What of a key shall change. What is absent stays, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateApiKey {
    /// Its name.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Given<String>,
    #[serde(flatten)]
    members: KeyMembers,
}

/// How a key shall be rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateApiKey {
    /// For how many seconds the old value is still accepted, up to 90 days; by default it is refused at once.
    pub(super) overlap_seconds: Option<u64>,
}

impl From<UpdateApiKey> for KeyFields {
    fn from(update: UpdateApiKey) -> Self {
        update.members.fields(update.name)
    }
}

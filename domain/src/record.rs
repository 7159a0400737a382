//! Stored records as domain values.

mod access_key;
mod api_key;
mod delivery_settings;
mod sealed;
mod stamps;
mod tenant;
mod webhook;
mod webhook_health;

pub use access_key::{AccessKey, Role};
pub use api_key::{ApiKey, CreationContext, KeyDigest, Metadata, Quota, RateLimit};
pub use delivery_settings::{
    DeliverySettings, KeyValues, MaxInFlight, PublicKey, RatePerSecond, SignatureKind, SigningKey, WhenPaused,
};
pub use sealed::{OldSecret, Sealed};
pub use stamps::{Actor, Stamps, Status};
pub use tenant::{Account, Project};
pub use webhook::{UserSecret, Webhook, WebhookState, WebhookStatus, WebhookUrl};
pub use webhook_health::{Condition, FailureLimits, FailureStreak, WebhookHealth};

use crate::partition::Partition;

/// Any record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An account.
    Account(Account),
    /// A project.
    Project(Project),
    /// An API key.
    ApiKey(ApiKey),
    /// An access key.
    AccessKey(AccessKey),
    /// A webhook.
    Webhook(Webhook),
}

impl Record {
    /// Returns the id, whose prefix names the kind of the record.
    pub fn id(&self) -> &str {
        match self {
            Record::Account(account) => account.id.as_str(),
            Record::Project(project) => project.id.as_str(),
            Record::ApiKey(key) => key.id.as_str(),
            Record::AccessKey(key) => key.id.as_str(),
            Record::Webhook(webhook) => webhook.id.as_str(),
        }
    }

    /// Returns the partition that its id carries.
    pub fn partition(&self) -> Partition {
        Partition::of_id(self.id())
    }
}

macro_rules! record_from {
    ($($name:ident),*) => {$(
        impl From<$name> for Record {
            fn from(record: $name) -> Self {
                Record::$name(record)
            }
        }
    )*};
}

record_from!(Account, Project, ApiKey, AccessKey, Webhook);

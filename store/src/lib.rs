//! Storage for records, the change stream, delivery queues, rate limit windows and usage, on Redis or embedded.
//!
//! Start with [`Store`]: its methods take and return typed records. Underneath, two backends run the atomic
//! operations of [`ops`] on opaque bytes.

mod account_resources;
mod backend;
mod change;
pub mod clock;
mod commit_encoding;
mod count_backfill;
mod embedded;
mod envelope;
pub mod error;
mod format;
mod gateway_ops;
#[cfg(test)]
mod golden;
mod index;
pub mod ops;
pub mod options;
mod page_cursor;
mod queue;
mod rebase;
mod record_format;
mod records;
mod redis;
mod schema;
mod store;
mod store_header;
mod stored_response;
mod stream_entry;
mod upgrade;
pub mod url;
mod usage;
mod user_secrets;

pub use account_resources::{AccountLimits, AccountResource};
pub use change::{Change, CommitContext, RecordWrite, StoredResponse, Versioned};
pub use envelope::{MasterKey, ParseMasterKeyError};
pub use error::{Result, StoreError, StoreErrorKind};
pub use format::Format;
pub use gateway_ops::{FoundKey, Lookup};
pub use options::{ClockSkew, Recovery, Replicas, Replication, StoreOptions, UnsafeRedis};
pub use queue::{DeadLetter, Event, FanOutEvent, FanOutStep, LeasedDelivery};
pub use records::{LenientPage, MAX_PAGE, Page};
pub use schema::UnknownFields;
pub use store::{Store, os_rng};
pub use stored_response::{ResponseClaim, ResponseClaimToken};
pub use stream_entry::{AuditEntry, ChangeMetadata, StreamEntry};
pub use upgrade::{StoreUpgrade, UpgradeError};
pub use url::{RedisUrl, StoreUrl};
pub use usage::HourUsage;

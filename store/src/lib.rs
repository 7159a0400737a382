//! Storage for records, the change stream, delivery queues, rate limit windows and usage, on Redis or embedded.
//!
//! Start with [`Store`], which opens a store, and [`CellStore`], whose methods take and return typed records. Underneath,
//! two backends run atomic operations on opaque bytes, which are private to this crate.

mod account_resources;
mod attempt;
mod audit_entry;
mod audit_feed;
mod backend;
mod cell_store;
mod change;
pub mod clock;
mod commit_encoding;
mod copied_entry;
mod count_backfill;
mod dead_letter;
mod deliveries;
mod delivery_summary;
mod embedded;
#[cfg(feature = "fuzz_support")]
pub mod encoding;
mod envelope;
pub mod error;
mod event;
mod format;
mod gateway_ops;
#[cfg(test)]
mod golden;
mod index;
mod invalidation_feed;
mod master_key_rotation;
mod ops;
pub mod options;
mod page_cursor;
mod queue;
mod random;
mod rebase;
mod record_format;
mod records;
mod recoveries;
mod recovery_job;
mod redis;
mod redis_access;
mod schema;
mod sealed_secrets;
mod store;
mod store_check;
mod store_copy;
mod store_header;
mod store_server;
mod stored_response;
mod upgrade;
pub mod url;
mod usage;

pub use account_resources::{AccountLimits, AccountResource, ResourceUsage};
pub use attempt::{AttemptPage, AttemptPosition, AttemptRecord, AttemptResponse, RecordedOutcome};
pub use audit_entry::{AuditEntry, ChangeMetadata, ChangeSummary, EntryContent};
pub use audit_feed::{AuditBatch, AuditFeed, SearchedBatch};
pub use cell_store::{CellStore, StoreKind};
pub use change::{Change, CommitContext, RecordWrite, StoredResponse, Versioned};
pub use dead_letter::DeadLetter;
pub use deliveries::{Delivery, DeliveryPosition, ParseDeliveryPositionError};
pub use envelope::{Envelope, MasterKey, ParseMasterKeyError, RotationStep};
pub use error::{Result, StoreError, StoreErrorKind};
pub use event::{Event, FanOutEvent};
pub use format::Format;
pub use gateway_ops::{FoundKey, Lookup};
pub use invalidation_feed::InvalidationFeed;
pub use master_key_rotation::RotationOutcome;
pub use ops::{
    CommitOutcome, CursorCheck, CursorState, DeadLetterPosition, DeliveryKind, DeliveryLeaseRequest, DisablesChecksum,
    Disposition, DueWebhooks, FanOutOutcome, FeedCheck, FeedCursor, FeedStream, FirstUseOutcome, GatewayLabel,
    Heartbeat, HeartbeatReply, InvalidationBatch, InvalidationEntry, LeaseStatus, MAX_DEAD_LETTERS, MAX_HOLD,
    MAX_HOLDS_TOGETHER, MAX_LOGGED_DELIVERED, MAX_LOGGED_DROPPED, MAX_QUARANTINED, MAX_RECOVERIES, MAX_STORED_ATTEMPTS,
    QueueStats, RecoveryStatus, RecoveryStepOutcome, RegisteredGateway, ReplayStats, RetentionPolicy, SendNowOutcome,
    SettlementOutcome, SortOrder, TrimStats, UsageGrouping, WebhookNumbers,
};
pub use options::{ClockSkew, MAX_KEYS_TOGETHER, Recovery, Replicas, Replication, StoreOptions, UnsafeRedis};
pub use queue::{DeliveryLeases, DroppedDelivery, FanOutStep, LeasedDelivery, Settlement};
pub use random::os_rng;
pub use records::{LenientPage, MAX_COUNTED, MAX_PAGE, Page};
pub use recovery_job::{
    NewRecovery, RecoverablePage, RecoveredKinds, RecoveryCreation, RecoveryFilter, RecoveryJob, RecoveryPace,
    RunningRecovery,
};
pub use redis_access::{RedisAccess, RedisTls, RedisTlsError, SentinelLogin};
pub use schema::UnknownFields;
pub use store::Store;
pub use store_check::{OperationOutcome, StoreCheck, check_operations};
pub use store_copy::{CopyError, CopyProgress, CopyReport, CopyStart, KindCount, copy_store};
pub use store_server::StoreServer;
pub use stored_response::{ResponseClaim, ResponseClaimToken};
pub use upgrade::{StoreUpgrade, UpgradeError};
pub use url::{RedisUrl, StoreUrl};
pub use usage::{PeriodUsage, RollUpPosition, UsageOfKeys, UsageRetention};

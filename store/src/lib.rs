//! Records, stream, queues and meters: Redis and embedded backends behind one set of atomic acts.
//!
//! [`Store`] is the typed front. Below it two backends perform the acts of [`act`] on opaque bytes.

pub mod act;
mod backend;
mod change;
pub mod clock;
mod counts;
mod cursor;
mod edge;
mod embedded;
mod entry;
mod envelope;
pub mod error;
mod forced;
mod format;
#[cfg(test)]
mod golden;
mod head;
pub mod options;
mod packed;
mod queue;
mod receipt;
mod records;
mod redis;
mod shape;
mod store;
mod upgrade;
pub mod url;
mod usage;
mod user_secrets;

pub use change::{Change, Origin, Versioned, Write};
pub use counts::{AccountBounds, AccountResource};
pub use edge::{FoundKey, Lookup};
pub use entry::{Entry, EntryHead, Told};
pub use envelope::{MasterKey, NotAMasterKey};
pub use error::{Result, StoreError, StoreErrorKind};
pub use format::Format;
pub use options::{Copies, Replicas, Settled, Skew, StoreOptions, UnsafeRedis};
pub use queue::{DeadLetter, Event, FanOut, FanOutEvent, Leased};
pub use receipt::{Receipt, ReceiptClaim, ReceiptMark};
pub use records::{MAX_PAGE, Page, Readings};
pub use shape::Unknown;
pub use store::{Store, os_rng};
pub use upgrade::{StoreUpgrade, UpgradeRefused};
pub use url::{RedisUrl, StoreUrl};
pub use usage::HourUsage;

//! Pure rules of Gatepost: ids, keys, digests, paths, permits, limits, changes, retry schedules, error codes.
//!
//! Nothing here does IO, reads a clock or awaits: callers pass in the time and the random number generator.

#![warn(clippy::missing_errors_doc)]

pub mod address;
pub mod base62;
pub mod change;
pub mod denial;
pub mod digest;
pub mod header_name;
pub mod host;
pub mod id;
pub mod key;
pub mod key_facts;
pub mod log_text;
pub mod network;
pub mod origin;
pub mod partition;
pub mod path;
pub mod permit;
pub mod problem;
pub mod record;
pub mod redact;
pub mod retry_schedule;
pub mod sample_event;
pub mod shown_key;
pub mod spelling;
pub mod time;
pub mod token_lease;
pub mod usage;
pub mod window;

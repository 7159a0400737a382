//! The embedded backend: redb, in one process, on disk or in memory. Acknowledged writes are on disk.

mod account_counts;
mod backup;
mod database;
mod database_file;
mod dead_letters;
mod deliveries;
mod delivery_log;
mod delivery_order;
mod disk_space;
pub(super) mod entries;
mod errors;
mod gateway_ops;
mod lifecycle;
mod meta;
mod migrations;
mod queue;
mod queue_clock;
mod queue_reads;
mod queue_to_dead_letters;
mod rate_limits;
mod records;
mod recoveries;
mod recovery_states;
mod sealed;
mod stored_responses;
mod tables;
mod trim;
mod usage;
mod webhook_failures;
mod writer;

pub(crate) use database::Embedded;

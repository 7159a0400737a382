//! The Redis backend. Every operation is one script on one shard; all keys share the namespace's hash tag.

mod account_counts;
mod acl_errors;
mod client;
mod connection;
mod copy;
mod delivery_log;
mod gateway_ops;
mod header;
mod hourly_usage;
mod info;
mod invalidations;
mod lifecycle;
mod master_connection;
mod queue;
mod queue_reads;
mod rate_limits;
mod records;
mod recoveries;
mod removal;
mod replay;
mod reply;
mod script_text;
mod scripts;
mod settings;
mod tls_errors;
mod topology;
mod unreplicated_log;
pub(crate) mod usage;

pub(crate) use client::Redis;

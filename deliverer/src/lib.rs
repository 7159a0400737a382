//! The deliverer: reads the stream after the fan-out cursor, puts events into the queues of the subscribed
//! webhooks, and sends them, signed, on their retry schedule. Start with [`Deliverer::start`].

#![allow(missing_docs, reason = "called only within this workspace, where a comment that repeats a name adds nothing")]

mod ack_batcher;
mod context;
mod deliverer;
mod delivery;
mod dispatcher;
mod fair_scheduler;
mod fan_out;
mod housekeeping;
mod lease;
mod metrics;
pub mod options;
mod payload;
mod receiver;
mod receiver_health;
mod recoveries;
mod send_limits;
mod usage_roll_up;
mod webhook_leases;

pub use deliverer::Deliverer;
pub use options::{DelivererOptions, Retention};

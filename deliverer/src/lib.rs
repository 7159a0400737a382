//! The deliverer: reads the stream after the fan-out cursor, puts events into the queues of the subscribed
//! webhooks, and sends them, signed, on their retry schedule. Start with [`Deliverer::start`].

mod ack_batcher;
mod attempt;
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
mod retry_after;
pub mod send;
pub mod sign;
mod ssrf_guard;

pub use deliverer::Deliverer;
pub use options::{DelivererOptions, PrivateNetworks, Retention};
pub use ssrf_guard::{SsrfGuard, WebhookUrlError};

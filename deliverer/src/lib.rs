//! The deliverer: reads the stream after the fan-out cursor, puts events into the queues of the
//! webhooks that asked for them, and sends them, signed, on their schedule.

mod address;
mod attempt;
mod body;
mod deliverer;
mod delivery;
mod fan_out;
mod housekeeping;
mod lease;
mod metrics;
pub mod options;
mod retry_after;
pub mod send;
mod settle;
mod shared;
mod shares;
pub mod sign;
mod work;

pub use address::{Guard, RefusedAddress};
pub use deliverer::Deliverer;
pub use options::{DelivererOptions, PrivateNetworks, Retention};

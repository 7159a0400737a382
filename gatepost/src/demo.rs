//! The parts of `gatepost demo` that a real installation has outside of Gatepost, and its story.

pub(crate) mod receiver;
pub(crate) mod sample_api;
mod server;
pub(crate) mod walkthrough;

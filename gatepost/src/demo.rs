//! Parts of `gatepost demo` that are outside of Gatepost in a real installation, and the walkthrough.

pub(crate) mod activity;
pub(crate) mod admin_api;
pub(crate) mod receiver;
pub(crate) mod sample_api;
mod server;
pub(crate) mod unreliable_receiver;
pub(crate) mod walkthrough;

//! The program as its users run it: real processes, real Redis, real HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod acl;
mod admin;
#[cfg(feature = "long")]
mod backlog;
mod bounds;
mod clients;
mod deliveries;
mod embedded;
mod failover;
mod fence;
mod full;
mod golden;
mod hosts;
#[cfg(feature = "long")]
mod idle;
mod import;
mod limits;
mod log;
mod log_outage;
mod members;
mod names;
mod outage;
#[cfg(debug_assertions)]
mod panics;
mod process;
mod projects;
#[cfg(any(feature = "long", feature = "golden"))]
mod release;
mod secrets;
mod shares;
#[cfg(feature = "long")]
mod side_by_side;
mod single;
mod site;
#[cfg(feature = "long")]
mod soak;
mod startup;
#[cfg(feature = "long")]
mod storm;
mod webhooks;
mod wrong_use;

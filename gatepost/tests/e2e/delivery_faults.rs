//! Fault suite of the deliverer: real processes, Redis and sockets, each family of faults in a file of its own, and one
//! checker of the invariants.
//!
//! A plain run takes each family in a short form; `--features long` takes the durations that are promised.

mod bad_receivers;
mod checker;
mod checker_tests;
mod clock_faults;
mod crashes;
mod dns_faults;
mod evidence;
mod load;
mod name_server;
mod namespace;
mod receiver_faults;
mod shifted_clock;
mod store_faults;
mod subject;
mod tls_front;

//! Copies of a store on Redis: reading all of its keys, and writing those of another store.
//!
//! These commands are not in the access control list of a running Gatepost: `SCAN` shows the names of all keys.

mod commands;
mod keys;
mod meter_reads;
mod pending;
mod queue_commands;
mod queue_reads;
mod queue_values;
mod reads;
mod scan;
mod target;
mod values;
mod writes;

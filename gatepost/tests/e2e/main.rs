//! End-to-end tests of the program: real processes, real Redis, real HTTP.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod access_keys;
mod access_log;
mod acl;
mod admin;
mod at_a_terminal;
#[cfg(feature = "long")]
mod backlog;
mod bounds;
mod browser;
mod certificates;
#[cfg(feature = "long")]
mod chaos;
mod containers;
mod dashboard;
mod deletions;
mod deliveries;
mod delivery_faults;
mod drain;
mod embedded;
mod explain;
mod failover;
mod fair_share;
mod fence;
mod full_store;
mod gateway_tls;
mod golden;
mod health;
mod host_header;
mod https_receiver;
mod https_redirect;
mod identity_headers;
#[cfg(feature = "long")]
mod idle_connections;
mod import;
mod large_project;
mod limits;
mod listen;
mod listen_setup;
mod log;
mod log_outage;
mod master_key;
#[cfg(feature = "long")]
mod move_drill;
mod next_steps;
mod npm_clients;
mod outage;
#[cfg(debug_assertions)]
mod panics;
mod printed;
mod process;
mod process_metrics;
mod proxy_protocol;
mod readme;
mod recoveries;
mod redis_access;
#[cfg(any(feature = "long", feature = "golden"))]
mod release;
mod reload;
mod resource_commands;
mod restore;
#[cfg(feature = "long")]
mod rolling_upgrade;
mod routes;
mod second_account;
mod secrets;
mod shell_files;
#[cfg(feature = "long")]
mod side_by_side;
mod single_process;
mod snippets;
#[cfg(feature = "long")]
mod soak;
mod startup;
mod store_copy;
mod store_server;
mod store_trial;
mod streaming;
mod systemd;
mod terminal;
mod test_cluster;
mod tls_under_load;
mod unknown_members;
mod up_tls;
mod upstream_containers;
mod upstream_names;
mod upstream_tls;
mod usage_errors;
mod webhook_libraries;
mod webhooks;
mod websockets;

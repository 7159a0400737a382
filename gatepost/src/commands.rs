//! Subcommands, one module each.

pub(crate) mod access_key;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod control_plane;
pub(crate) mod dashboard;
pub(crate) mod deliverer;
pub(crate) mod demo;
pub(crate) mod gateway;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod listen;
pub(crate) mod master_key;
pub(crate) mod purge;
pub(crate) mod reload;
pub(crate) mod resources;
pub(crate) mod restore;
pub(crate) mod shell_files;
pub(crate) mod store;
pub(crate) mod trigger;
pub(crate) mod up;

use std::sync::Arc;

use gatepost_control_plane::ControlPlane;
use gatepost_domain::time::Clock;
use gatepost_limits::RateLimiter;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;
use prometheus::Registry;

use crate::admin_url::AdminUrl;
use crate::cli::Options;
use crate::config::Config;
use crate::output;
use crate::store::StoreInit;

/// Error that exits with code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

fn load(options: &Options) -> anyhow::Result<Config> {
    Ok(options.config_source().load()?)
}

/// Reads the configuration and prints its warnings, for commands that do not log.
fn load_with_warnings(options: &Options) -> anyhow::Result<Config> {
    let config = load(options)?;
    print_warnings(&config);
    Ok(config)
}

fn print_warnings(config: &Config) {
    for warning in &config.warnings {
        output::print_error_line(&format!("warning: {warning}"));
    }
}

/// Returns the address of the admin API that a client calls: the one that is named, or where it listens according to the
/// configuration, which is not read otherwise.
fn find_admin_url(named: Option<AdminUrl>, options: &Options) -> anyhow::Result<AdminUrl> {
    match named {
        Some(url) => Ok(url),
        None => Ok(AdminUrl::of_listener(load_with_warnings(options)?.control_plane.listen)),
    }
}

/// Checks that a configuration has all that a gateway needs, before a store is opened or created for it.
fn check_gateway(config: &Config) -> Result<(), UsageError> {
    match config.gateway.missing() {
        None => Ok(()),
        Some(what) => Err(UsageError(what.to_owned())),
    }
}

/// Reads the configuration of a command that runs as one of several processes, which need a store on Redis.
fn load_for_shared_store(options: &Options) -> anyhow::Result<Config> {
    let config = load(options)?;
    match config.store.url {
        StoreUrl::Redis(_) => Ok(config),
        StoreUrl::Embedded(_) | StoreUrl::Memory => Err(UsageError(format!(
            "the store {} is for one process: run `gatepost up`, or use Redis with --store redis://HOST:PORT",
            config.store.url
        ))
        .into()),
    }
}

/// Opens the store of a configuration for a command that is not a server, and returns the use cases over it.
async fn open_use_cases(config: &Config, init: StoreInit) -> anyhow::Result<ControlPlane> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = match init {
        StoreInit::MustExist => crate::store::open_existing(config, &clock).await?,
        StoreInit::CreateIfMissing => crate::store::open_or_create(config, &clock).await?,
    };
    let registry = Registry::new();
    let rate_limiter =
        RateLimiter::start(store.single_cell().clone(), Arc::clone(&clock), config.outage_policy, &registry)?;
    Ok(ControlPlane::new(store, clock, config.webhooks.private_networks, rate_limiter, &registry)?)
}

//! The commands.

pub(crate) mod access_key;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod control_plane;
pub(crate) mod deliverer;
pub(crate) mod demo;
pub(crate) mod gateway;
pub(crate) mod import;
pub(crate) mod purge;
pub(crate) mod store;
pub(crate) mod up;

use gatepost_store::StoreUrl;

use crate::cli::Options;
use crate::config::{self, Config};
use crate::output;

/// Something was asked for in a wrong way: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(String);

impl UsageError {
    pub(crate) fn anyhow(message: impl Into<String>) -> anyhow::Error {
        Self(message.into()).into()
    }
}

/// Reads the configuration of a command.
fn load(options: &Options) -> anyhow::Result<Config> {
    Ok(config::load(options.config.as_deref(), &options.overrides())?)
}

/// The same for a command that does not log.
fn load_with_warnings(options: &Options) -> anyhow::Result<Config> {
    let config = load(options)?;
    for warning in &config.warnings {
        output::print_error_line(warning);
    }
    Ok(config)
}

/// The same for a command that is one of several processes, which an embedded store cannot serve.
fn load_for_shared_store(options: &Options) -> anyhow::Result<Config> {
    let config = load(options)?;
    match config.store.url {
        StoreUrl::Redis(_) => Ok(config),
        StoreUrl::Embedded(_) | StoreUrl::Memory => Err(UsageError::anyhow(format!(
            "the store {} is for one process: run `gatepost up`, or keep keys on Redis with --store redis://HOST:PORT",
            config.store.url
        ))),
    }
}

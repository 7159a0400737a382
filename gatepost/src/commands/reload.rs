//! `gatepost reload`: has a running gateway read its configuration again.

use gatepost_store::StoreUrl;

use crate::cli::{Options, ReloadOptions};
use crate::commands::UsageError;
use crate::config::Config;
use crate::control_socket::{self, SocketLocation};
use crate::output;

pub(crate) async fn run(options: &Options, reload: &ReloadOptions) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let location = control_socket_of(&config)?;
    let Some(need_restart) = control_socket::reload(&location, reload.wait).await? else {
        return Err(UsageError(format!(
            "no process listens on {}: run the command with the configuration and the user of `gatepost up` or \
             `gatepost gateway`",
            location.path().display()
        ))
        .into());
    };
    if !reload.wait {
        return output::print_line("the configuration is being reloaded; --wait tells what came of it");
    }
    output::print_line("the configuration was reloaded")?;
    if need_restart.is_empty() {
        return Ok(());
    }
    output::print_line(&format!("restart to apply {}", need_restart.join(", ")))
}

/// Returns the socket of the process that holds the embedded store, or the one that is configured.
fn control_socket_of(config: &Config) -> Result<SocketLocation, UsageError> {
    match (&config.store.url, &config.gateway.control_socket) {
        (StoreUrl::Embedded(directory), _) => Ok(SocketLocation::of_store(directory)),
        (StoreUrl::Redis(_) | StoreUrl::Memory, Some(path)) => Ok(SocketLocation::at(path)),
        (StoreUrl::Redis(_) | StoreUrl::Memory, None) => Err(UsageError(format!(
            "the store {} belongs to no single process: set gateway.control_socket and restart the gateway, send it \
             SIGHUP, or change its file and wait three seconds",
            config.store.url
        ))),
    }
}

//! `gatepost reload`: has the process that holds an embedded store read its configuration again.

use gatepost_store::StoreUrl;

use crate::cli::{Options, ReloadOptions};
use crate::commands::UsageError;
use crate::{control_socket, output};

pub(crate) async fn run(options: &Options, reload: &ReloadOptions) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let StoreUrl::Embedded(directory) = &config.store.url else {
        return Err(UsageError(format!(
            "the store {} belongs to no single process: send SIGHUP to each gateway, or change its file and wait three \
             seconds",
            config.store.url
        ))
        .into());
    };
    let Some(need_restart) = control_socket::reload(directory, reload.wait).await? else {
        return Err(UsageError(format!(
            "no process holds the store in {}: run the command in the directory of `gatepost up`, or name the store with \
             --store",
            directory.display()
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

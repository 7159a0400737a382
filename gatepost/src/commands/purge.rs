//! `gatepost purge`: removes keys and access keys that were deactivated long ago.

use anyhow::Context;
use gatepost_control_plane::RunMode;
use gatepost_store::StoreUrl;

use crate::cli::{Options, PurgeOptions};
use crate::store::StoreInit;
use crate::{control_socket, output};

pub(crate) async fn run(options: &Options, arguments: &PurgeOptions) -> anyhow::Result<()> {
    let config = super::load(options)?;
    let by_running_process = match &config.store.url {
        StoreUrl::Embedded(directory) => {
            control_socket::purge(directory, arguments.inactive_for, arguments.dry_run).await?
        }
        StoreUrl::Redis(_) | StoreUrl::Memory => None,
    };
    let purged = match by_running_process {
        Some(purged) => purged,
        None => {
            let mode = if arguments.dry_run { RunMode::DryRun } else { RunMode::Apply };
            super::open_use_cases(&config, StoreInit::MustExist).await?.purge(arguments.inactive_for, mode).await?
        }
    };
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    let (keys, access_keys) = (purged.api_keys, purged.access_keys);
    let report = format!(
        "{} of {} keys and {} of {} access keys {verb}",
        keys.removed, keys.seen, access_keys.removed, access_keys.seen
    );
    output::print_line(&report).context(report)
}

//! `gatepost purge`: removes keys and access keys that were shut off long ago.

use anyhow::Context;
use gatepost_control_plane::Mode;
use gatepost_store::StoreUrl;

use super::import::open;
use crate::cli::{Options, PurgeOptions};
use crate::{control_socket, output};

pub(crate) async fn run(options: &Options, asked: &PurgeOptions) -> anyhow::Result<()> {
    let config = super::load(options)?;
    let asked_process = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::purge(directory, asked.inactive_for, asked.dry_run).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => None,
    };
    let purged = match asked_process {
        Some(purged) => purged,
        None => {
            let mode = if asked.dry_run { Mode::Dry } else { Mode::Real };
            open(&config).await?.purge(asked.inactive_for, mode).await?
        }
    };
    let verb = if asked.dry_run { "would be removed" } else { "removed" };
    let (keys, access_keys) = (purged.api_keys, purged.access_keys);
    let report = format!(
        "{} of {} keys and {} of {} access keys {verb}",
        keys.removed, keys.seen, access_keys.removed, access_keys.seen
    );
    output::line(&report).context(report)
}

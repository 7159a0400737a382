//! `gatepost store`: `upgrade` upgrades the format of the store, and rewrites what earlier releases wrote; `copy` copies
//! it to another address.

mod copy;

use std::sync::Arc;

use anyhow::Context;
use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_store::{StoreUpgrade, StoreUrl};
use indicatif::ProgressBar;

use crate::cli::{Options, StoreCommand};
use crate::config::Config;
use crate::store;
use crate::{control_socket, output};

pub(crate) async fn run(options: &Options, command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::Upgrade => upgrade(&super::load_with_warnings(options)?).await,
        StoreCommand::Copy(copy) => copy::run(options, copy).await,
    }
}

async fn upgrade(config: &Config) -> anyhow::Result<()> {
    let by_running_process = match &config.store.url {
        StoreUrl::Embedded(directory) => control_socket::upgrade(directory, config.store.write_format).await?,
        StoreUrl::Redis(_) | StoreUrl::Memory => None,
    };
    let done = match by_running_process {
        Some(done) => done,
        None => upgrade_directly(config).await?,
    };
    report(config, &done)
}

async fn upgrade_directly(config: &Config) -> anyhow::Result<StoreUpgrade> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open_existing(config, &clock).await?;
    let bar = ProgressBar::new_spinner();
    let done = store
        .single_cell()
        .upgrade(config.store.write_format, |done| {
            bar.set_message(format!(
                "{} webhooks checked, {} rewritten; {} records counted",
                done.checked, done.rewritten, done.counted
            ));
            bar.tick();
        })
        .await?;
    bar.finish_and_clear();
    Ok(done)
}

fn report(config: &Config, done: &StoreUpgrade) -> anyhow::Result<()> {
    let StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted } = done;
    let format = config.store.write_format;
    let mut report = format!(
        "the store is in format {format}: {rewritten} of {checked} webhooks were rewritten, {counted} records counted"
    );
    for id in unreadable_ids {
        report += &format!("\n{id} cannot be read and was not changed: delete it, or restore it from a backup");
    }
    let unnamed = unreadable.saturating_sub(unreadable_ids.len() as u64);
    if unnamed > 0 {
        report += &format!("\n{unnamed} more cannot be read");
    }
    output::print_line(&report).context(report)
}

//! `gatepost backup`: copies an embedded store.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use gatepost_domain::time::Clock;
use gatepost_store::StoreUrl;
use gatepost_store::clock::SystemClock;

use crate::cli::{BackupOptions, Options};
use crate::commands::UsageError;
use crate::config::Config;
use crate::store;
use crate::{control_socket, master_key, output};

pub(crate) async fn run(options: &Options, backup: &BackupOptions) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let StoreUrl::Embedded(directory) = &config.store.url else {
        return Err(UsageError(format!(
            "{} is not an embedded store: back up Redis with its RDB or append-only files",
            config.store.url
        ))
        .into());
    };
    let store = directory.join(master_key::STORE_FILE_NAME);
    if !store.exists() {
        return Err(UsageError(store::missing(directory)).into());
    }
    let file = std::path::absolute(&backup.file)?;
    check_target(&file)?;
    let bytes = match control_socket::backup(directory, &file).await? {
        Some(bytes) => bytes,
        None => back_up_directly(&config, &file).await?,
    };
    report(&store, &file, bytes).with_context(|| format!("the backup {} was written", file.display()))
}

/// Checks that the backup can be a new file. It is created by whichever process holds the store.
fn check_target(file: &Path) -> anyhow::Result<()> {
    ensure!(!file.exists(), "{} exists already: give the backup another name, or remove the file", file.display());
    let directory = file.parent().unwrap_or(Path::new("/"));
    ensure!(
        directory.is_dir(),
        "there is no directory {}: create it, or write the backup elsewhere",
        directory.display()
    );
    Ok(())
}

/// Copies a store that no process holds.
async fn back_up_directly(config: &Config, file: &Path) -> anyhow::Result<u64> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open_existing(config, &clock).await?;
    store.single_cell().backup(file).await.context("the backup failed")
}

fn report(store: &Path, file: &Path, bytes: u64) -> anyhow::Result<()> {
    output::print_line(&format!("{} ({bytes} bytes) is a backup of {}", file.display(), store.display()))?;
    output::print_line("gatepost restore puts it back; it does not contain the master key")
}

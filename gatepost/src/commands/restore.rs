//! `gatepost restore`: puts a backup in place of an embedded store that is gone.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use gatepost_domain::time::{Clock, Timestamp};
use gatepost_store::clock::SystemClock;
use gatepost_store::{Store, StoreUrl};

use crate::cli::{Options, RestoreOptions};
use crate::commands::UsageError;
use crate::config::Config;
use crate::{control_socket, master_key, output, private_file, store};

pub(crate) async fn run(options: &Options, restore: &RestoreOptions) -> anyhow::Result<()> {
    let config = super::load_with_warnings(options)?;
    let StoreUrl::Embedded(directory) = &config.store.url else {
        return Err(UsageError(format!(
            "{} is not an embedded store: restore Redis from its RDB or append-only files",
            config.store.url
        ))
        .into());
    };
    let target = directory.join(master_key::STORE_FILE_NAME);
    check_target(directory, &target).await?;
    let last_change_at = put(&config, directory, &restore.file, &target).await?;
    report(&restore.file, &target, last_change_at).with_context(|| format!("{} was restored", target.display()))
}

/// Checks that there is no store. A process can go on using one whose file was removed.
async fn check_target(directory: &Path, target: &Path) -> anyhow::Result<()> {
    ensure!(
        !target.exists(),
        "{0} exists already and is not overwritten: stop gatepost, and move the file away (it may have changes that the \
         backup lacks)",
        target.display()
    );
    let is_used = control_socket::is_used(directory).await;
    ensure!(!is_used, "a process still uses the store in {}: stop it", directory.display());
    Ok(())
}

/// Copies the backup, checks that this program and master key open it, and gives it its name. Returns the time of its
/// last change.
async fn put(config: &Config, directory: &Path, file: &Path, target: &Path) -> anyhow::Result<Timestamp> {
    let key = master_key::find_existing(&config.store)?.with_context(|| {
        format!(
            "a backup does not contain the master key: put that of the store into {} first, or name it with store.master_key_file",
            master_key::path_beside_store(directory).display()
        )
    })?;
    private_file::create_directory(directory)?;
    let scratch = tempfile::TempDir::with_prefix_in("restore-", directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    let copy = scratch.path().join(master_key::STORE_FILE_NAME);
    copy_file(file, &copy)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = store::store_options(config, &clock);
    options.url = StoreUrl::Embedded(scratch.path().to_owned());
    let opened = Store::open(&options, &key).await;
    let opened = opened.with_context(|| format!("{} cannot be restored", file.display()))?;
    let last = opened.single_cell().last_position().await?;
    drop(opened);
    // Unlike a rename, a link does not replace a file that has come meanwhile.
    std::fs::hard_link(&copy, target).with_context(|| format!("cannot create {}", target.display()))?;
    private_file::sync_directory(target)?;
    Ok(last.timestamp())
}

fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut source = std::fs::File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.with_context(|| format!("cannot create {}", to.display()))?;
    let copied = std::io::copy(&mut source, &mut target).and_then(|_| target.sync_all());
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn report(file: &Path, target: &Path, last_change_at: Timestamp) -> anyhow::Result<()> {
    output::print_line(&format!(
        "{} is restored from {}; its last change was at {last_change_at}\n\
         keys created since are unknown, and keys revoked since are accepted again: see \"Restoring a backup\" in \
         docs/operations.md before you start gatepost",
        target.display(),
        file.display()
    ))
}

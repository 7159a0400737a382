//! Sources of the master key: the environment, a file, or the directory of an embedded store.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gatepost_store::{MasterKey, StoreUrl, os_rng};

use crate::config::{MASTER_KEY_VARIABLE, StoreConfig};
use crate::private_file;

/// Name of the key file next to an embedded store.
const KEY_FILE_NAME: &str = "master.key";
/// Name of an embedded store's database. If it exists, there must be a master key.
pub(crate) const STORE_FILE_NAME: &str = "gatepost.redb";

/// Finds the master key, and creates one for a new embedded store.
pub(crate) fn find_or_create(store: &StoreConfig) -> anyhow::Result<MasterKey> {
    if let Some(key) = from_environment()? {
        return Ok(key);
    }
    if let Some(file) = &store.master_key_file {
        return read_file(file);
    }
    match &store.url {
        StoreUrl::Memory => Ok(MasterKey::generate(&mut os_rng())),
        StoreUrl::Embedded(directory) => find_or_create_beside_store(directory),
        StoreUrl::Redis(_) => bail!(
            "a store on Redis needs a master key: set {MASTER_KEY_VARIABLE}, or store.master_key_file to a file that \
             holds it; create one with: gatepost master-key create FILE"
        ),
    }
}

/// Returns where the key of an embedded store is unless it is named.
pub(crate) fn path_beside_store(directory: &Path) -> PathBuf {
    directory.join(KEY_FILE_NAME)
}

/// Returns whether the environment or the configuration names a master key.
pub(crate) fn is_named(store: &StoreConfig) -> bool {
    store.master_key_file.is_some() || !matches!(from_environment(), Ok(None))
}

/// Finds the master key without creating one. Returns none where a start would create one.
pub(crate) fn find_existing(store: &StoreConfig) -> anyhow::Result<Option<MasterKey>> {
    match &store.url {
        StoreUrl::Embedded(directory)
            if !directory.join(KEY_FILE_NAME).exists() && !directory.join(STORE_FILE_NAME).exists() =>
        {
            match (from_environment()?, &store.master_key_file) {
                (Some(key), _) => Ok(Some(key)),
                (None, Some(file)) => read_file(file).map(Some),
                (None, None) => Ok(None),
            }
        }
        StoreUrl::Embedded(_) | StoreUrl::Redis(_) | StoreUrl::Memory => find_or_create(store).map(Some),
    }
}

#[expect(clippy::disallowed_methods, reason = "the master key is not a configuration key")]
fn from_environment() -> anyhow::Result<Option<MasterKey>> {
    let Some(text) = std::env::var_os(MASTER_KEY_VARIABLE) else { return Ok(None) };
    let key = text.to_str().map(MasterKey::parse).transpose().context(MASTER_KEY_VARIABLE)?;
    Ok(Some(key.with_context(|| format!("{MASTER_KEY_VARIABLE} is not UTF-8"))?))
}

/// Creates a file with a new master key.
pub(crate) fn create(file: &Path) -> anyhow::Result<()> {
    let key = MasterKey::generate(&mut os_rng());
    private_file::create(file, &format!("{}\n", key.to_base64().expose()))
}

pub(crate) fn read_file(file: &Path) -> anyhow::Result<MasterKey> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read the master key {}", file.display()))?;
    MasterKey::parse(&text).with_context(|| file.display().to_string())
}

fn find_or_create_beside_store(directory: &Path) -> anyhow::Result<MasterKey> {
    let file = directory.join(KEY_FILE_NAME);
    if file.exists() {
        return read_file(&file);
    }
    if directory.join(STORE_FILE_NAME).exists() {
        bail!(
            "the store in {1} cannot be opened because {0} is missing: restore the file, or set {MASTER_KEY_VARIABLE}",
            file.display(),
            directory.display()
        );
    }
    create(&file)?;
    read_file(&file)
}

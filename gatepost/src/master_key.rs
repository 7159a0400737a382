//! Where the master key comes from: the environment, a file, or beside an embedded store.

use std::path::Path;

use anyhow::{Context, bail};
use gatepost_store::{MasterKey, StoreUrl, os_rng};

use crate::config::{MASTER_KEY_VARIABLE, StoreConfig};
use crate::private_file;

/// The file beside an embedded store.
const KEY_FILE_NAME: &str = "master.key";
/// An embedded store's own file: where it is, there was a master key before.
pub(crate) const STORE_FILE_NAME: &str = "gatepost.redb";

/// Finds the master key; for a new embedded store it makes one.
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
             holds it; make one with: head -c 32 /dev/urandom | base64"
        ),
    }
}

/// Finds the master key without making one; none where a start would make one.
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

#[expect(clippy::disallowed_methods, reason = "the master key is no key of the configuration")]
fn from_environment() -> anyhow::Result<Option<MasterKey>> {
    let Some(text) = std::env::var_os(MASTER_KEY_VARIABLE) else { return Ok(None) };
    let key = text.to_str().map(MasterKey::parse).transpose().context(MASTER_KEY_VARIABLE)?;
    Ok(Some(key.with_context(|| format!("{MASTER_KEY_VARIABLE} is not text"))?))
}

fn read_file(file: &Path) -> anyhow::Result<MasterKey> {
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
            "{} is missing, and without it the store in {} cannot be opened: restore it, or set {MASTER_KEY_VARIABLE}",
            file.display(),
            directory.display()
        );
    }
    let key = MasterKey::generate(&mut os_rng());
    private_file::create(&file, &format!("{}\n", key.to_base64().expose()))?;
    Ok(key)
}

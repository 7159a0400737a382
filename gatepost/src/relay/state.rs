//! What the commands of a developer remember: the signing secret, where events go, and which were forwarded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use gatepost_domain::id::ProjectId;
use gatepost_store::os_rng;
use gatepost_webhook_client::sign;
use rand::Rng;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::admin_url::AdminUrl;
use crate::commands::UsageError;
use crate::private_file;

const SECRET_FILE: &str = "webhook-secret";
/// The URL to which `listen` forwarded events last.
const TARGET_FILE: &str = "forward-to";
/// Files with the cursors of streams, by the name of the stream.
const CURSOR_DIRECTORY: &str = "cursors";
const SECRET_BYTES: usize = 32;

/// The directory of these files. Only this user can read it.
pub(crate) struct StateDirectory(PathBuf);

/// Name of a stream of events: the admin API and the project.
pub(crate) struct StreamName(String);

impl StreamName {
    pub(crate) fn new(admin: &AdminUrl, project: Option<&ProjectId>) -> Self {
        let admin: String = byte_serialize(admin.to_string().as_bytes()).collect();
        let project = project.map_or("all", ProjectId::as_str);
        Self(format!("{admin}+{project}"))
    }
}

impl StateDirectory {
    /// Finds the directory and creates it if it is missing: `gatepost` below `$XDG_CONFIG_HOME`, by default `~/.config`.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if the environment does not say where it is.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let config = absolute_path("XDG_CONFIG_HOME");
        let config = config.or_else(|| Some(absolute_path("HOME")?.join(".config")));
        let config = config.ok_or_else(|| UsageError("set HOME or XDG_CONFIG_HOME to an absolute path".to_owned()))?;
        let directory = config.join("gatepost");
        private_file::create_directory(&directory.join(CURSOR_DIRECTORY))?;
        Ok(Self(directory))
    }

    /// Reads the signing secret. The first call creates it.
    pub(crate) fn signing_secret(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let path = self.0.join(SECRET_FILE);
        if let Some(secret) = read_secret(&path)? {
            return Ok(secret);
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        os_rng().fill_bytes(secret.as_mut_slice());
        let created = private_file::create(&path, &format!("{}\n", sign::secret_text(secret.as_slice())));
        // Another process may have created it at the same time.
        match read_secret(&path)? {
            Some(secret) => Ok(secret),
            None => Err(created.err().unwrap_or_else(|| anyhow::anyhow!("{} is missing", path.display()))),
        }
    }

    /// Returns the URL to which events were forwarded last.
    pub(crate) fn target(&self) -> anyhow::Result<Option<Url>> {
        let path = self.0.join(TARGET_FILE);
        let Some(text) = private_file::read(&path)? else { return Ok(None) };
        Ok(Some(Url::parse(text.trim()).with_context(|| format!("{} has no URL", path.display()))?))
    }

    pub(crate) fn save_target(&self, url: &Url) -> anyhow::Result<()> {
        private_file::replace(&self.0.join(TARGET_FILE), &format!("{url}\n"))
    }

    /// Returns the cursor of the last event that was forwarded.
    pub(crate) fn cursor(&self, stream: &StreamName) -> anyhow::Result<Option<String>> {
        let path = self.cursor_path(stream);
        let Some(text) = private_file::read(&path)? else { return Ok(None) };
        let cursor = text.trim();
        let is_cursor = !cursor.is_empty() && cursor.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_cursor, "{} has no cursor: remove it to begin with new events", path.display());
        Ok(Some(cursor.to_owned()))
    }

    pub(crate) fn save_cursor(&self, stream: &StreamName, cursor: &str) -> anyhow::Result<()> {
        private_file::replace(&self.cursor_path(stream), &format!("{cursor}\n"))
    }

    fn cursor_path(&self, stream: &StreamName) -> PathBuf {
        self.0.join(CURSOR_DIRECTORY).join(&stream.0)
    }
}

fn read_secret(path: &Path) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(text) = private_file::read(path)? else { return Ok(None) };
    let secret = sign::parse_secret(text.trim()).filter(|secret| !secret.is_empty());
    let secret = secret.with_context(|| format!("{} has no signing secret: remove it", path.display()))?;
    Ok(Some(secret))
}

#[expect(clippy::disallowed_methods, reason = "these are not configuration keys")]
fn absolute_path(variable: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os(variable)?;
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

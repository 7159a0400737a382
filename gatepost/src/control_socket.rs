//! Control socket: a Unix socket in the directory of an embedded store. The command line uses it to send commands to
//! the process that holds the store, such as creating access keys, imports and backups. Only the owner of the directory
//! can connect.

mod message;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_control_plane::{ControlPlane, NewAccessKey, PurgeReport, RunMode};
use gatepost_domain::record::Role;
use gatepost_runtime::{Task, error_chain, spawn, supervise};
use gatepost_store::{Format, Store, StoreUpgrade};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::dashboard_url::{self, DashboardUrl, SignInLink};
use crate::import::{self, ImportReport, ImportRequest};
use crate::reload::{self, Reloader};
pub(crate) use message::{ACCOUNT_ADDED, CreatedAccessKey};
use message::{Request, Response};

const SOCKET_FILE_NAME: &str = "control.sock";
/// Maximum path length of a socket in bytes: a socket address holds 108, including the terminating zero.
const MAX_PATH_BYTES: usize = 107;
/// Maximum size of a request or a response in bytes. Each is one line.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// Timeout of either side for the other: a backup of a large store takes a while.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Error if the running process is of another version.
const UNEXPECTED_RESPONSE: &str = "the running process returned an unexpected response: it may be of another version";

/// What commands are executed with.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) control_plane: ControlPlane,
    pub(crate) store: Store,
    pub(crate) dashboard: Option<DashboardUrl>,
    pub(crate) reloader: Arc<Reloader>,
}

/// Listens in a store's directory until the process ends. A failure is only logged as a warning, because everything but
/// the commands that use the socket works without it.
pub(crate) fn listen(directory: &Path, executor: Executor) {
    let listener = match bind(directory) {
        Ok(listener) => listener,
        Err(error) => {
            let path = directory.join(SOCKET_FILE_NAME);
            tracing::warn!(
                error = %error_chain(&error),
                path = %path.display(),
                "listening on the control socket failed"
            );
            return;
        }
    };
    let listener = Arc::new(listener);
    supervise(Task::ControlSocket, move || accept(Arc::clone(&listener), executor.clone()));
}

async fn accept(listener: Arc<UnixListener>, executor: Executor) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve_connection(stream, executor.clone());
                spawn(Task::ControlSocketConnection, async move {
                    let _ = tokio::time::timeout(TIMEOUT, serving).await;
                });
            }
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "accepting on the control socket failed, retrying in 1 s");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn bind(directory: &Path) -> std::io::Result<UnixListener> {
    let path = directory.join(SOCKET_FILE_NAME);
    // A killed process leaves its socket behind. The lock of the store guarantees that the process is gone.
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let short = ShortPath::new(directory)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Path of the socket, through the open directory's descriptor if it is longer than a socket address can be.
struct ShortPath {
    path: PathBuf,
    _directory: File,
}

impl ShortPath {
    fn new(directory: &Path) -> std::io::Result<Self> {
        let (opened, path) = (File::open(directory)?, directory.join(SOCKET_FILE_NAME));
        let is_long = path.as_os_str().len() > MAX_PATH_BYTES;
        let path =
            if is_long { format!("/proc/self/fd/{}/{SOCKET_FILE_NAME}", opened.as_raw_fd()).into() } else { path };
        Ok(Self { path, _directory: opened })
    }
}

/// Creates an access key through the process that holds the store. Returns none if there is no such process.
pub(crate) async fn create_access_key(
    directory: &Path,
    new: &NewAccessKey,
) -> anyhow::Result<Option<CreatedAccessKey>> {
    let request = Request::CreateAccessKey {
        account_name: new.account_name.clone(),
        project: new.project.clone(),
        role: new.role.as_str().to_owned(),
        name: new.name.clone(),
    };
    let created = |response| if let Response::Created(created) = response { Some(created) } else { None };
    call(directory, &request, created).await
}

/// Result of a command that a running process may execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegation {
    Done,
    NoProcess,
}

/// Revokes an access key through the process that holds the store.
pub(crate) async fn revoke_access_key(directory: &Path, id: &str) -> anyhow::Result<Delegation> {
    let request = Request::RevokeAccessKey { id: id.to_owned() };
    let done = |response| matches!(response, Response::Revoked).then_some(Delegation::Done);
    Ok(call(directory, &request, done).await?.unwrap_or(Delegation::NoProcess))
}

/// Creates a sign-in link through the process that holds the store. Returns none if there is no such process.
pub(crate) async fn create_sign_in_link(
    directory: &Path,
    access_key: Option<&str>,
) -> anyhow::Result<Option<SignInLink>> {
    let request = Request::CreateSignInLink { access_key: access_key.map(str::to_owned) };
    let link = |response| if let Response::SignInLink(link) = response { Some(link) } else { None };
    call(directory, &request, link).await
}

/// Imports keys through the process that holds the store. Returns none if there is no such process.
pub(crate) async fn import(directory: &Path, request: &ImportRequest) -> anyhow::Result<Option<ImportReport>> {
    let report = |response| if let Response::Imported(report) = response { Some(report) } else { None };
    call(directory, &Request::Import(request.clone()), report).await
}

/// Purges keys through the process that holds the store. Returns none if there is no such process.
pub(crate) async fn purge(
    directory: &Path,
    inactive_for: Duration,
    dry_run: bool,
) -> anyhow::Result<Option<PurgeReport>> {
    let request = Request::Purge { inactive_for_s: inactive_for.as_secs(), dry_run };
    let done = |response| match response {
        Response::Purged { api_keys, access_keys } => {
            Some(PurgeReport { api_keys: api_keys.into(), access_keys: access_keys.into() })
        }
        Response::Created(_)
        | Response::Revoked
        | Response::SignInLink(_)
        | Response::BackedUp { .. }
        | Response::Imported(_)
        | Response::StoreUpgraded { .. }
        | Response::Reloaded { .. }
        | Response::Failed(_) => None,
    };
    call(directory, &request, done).await
}

/// Upgrades the store through the process that holds it. Returns none if there is no such process.
pub(crate) async fn upgrade(directory: &Path, to: Format) -> anyhow::Result<Option<StoreUpgrade>> {
    let done = |response| match response {
        Response::StoreUpgraded { checked, rewritten, unreadable, unreadable_ids, counted } => {
            Some(StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted })
        }
        Response::Created(_)
        | Response::Revoked
        | Response::SignInLink(_)
        | Response::BackedUp { .. }
        | Response::Imported(_)
        | Response::Purged { .. }
        | Response::Reloaded { .. }
        | Response::Failed(_) => None,
    };
    call(directory, &Request::UpgradeStore { format: to.number() }, done).await
}

/// Backs up the store through the process that holds it, and returns the size of the backup in bytes. Returns none if
/// there is no such process.
pub(crate) async fn backup(directory: &Path, file: &Path) -> anyhow::Result<Option<u64>> {
    let bytes = |response| if let Response::BackedUp { bytes } = response { Some(bytes) } else { None };
    call(directory, &Request::Backup { file: file.to_path_buf() }, bytes).await
}

/// Has the process that holds the store read its configuration again. Returns the keys of the settings that take effect
/// with a restart, without `wait` none; and none if there is no such process.
pub(crate) async fn reload(directory: &Path, wait: bool) -> anyhow::Result<Option<Vec<String>>> {
    let need_restart =
        |response| if let Response::Reloaded { need_restart } = response { Some(need_restart) } else { None };
    call(directory, &Request::Reload { wait }, need_restart).await
}

/// Returns whether a process holds the store in a directory.
pub(crate) async fn is_served_by_process(directory: &Path) -> bool {
    match ShortPath::new(directory) {
        Ok(short) => UnixStream::connect(&short.path).await.is_ok(),
        Err(_) => false,
    }
}

/// Sends a request to the process that holds the store in a directory, and takes the result from its response.
/// Returns none if there is no such process.
async fn call<T>(
    directory: &Path,
    request: &Request,
    result: impl FnOnce(Response) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    match send_request(directory, request).await? {
        None => Ok(None),
        Some(Response::Failed(why)) => bail!(why),
        Some(response) => result(response).map(Some).context(UNEXPECTED_RESPONSE),
    }
}

async fn send_request(directory: &Path, request: &Request) -> anyhow::Result<Option<Response>> {
    let Ok(short) = ShortPath::new(directory) else { return Ok(None) };
    let Ok(mut stream) = UnixStream::connect(&short.path).await else { return Ok(None) };
    let exchange = async {
        write_line(&mut stream, request).await?;
        read_line::<Response>(&mut stream).await
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .context("the running process did not respond within an hour")?
        .map(Some)
}

async fn serve_connection(mut stream: UnixStream, executor: Executor) {
    let response = match read_line::<Request>(&mut stream).await {
        Ok(request) => {
            executor.run(request).await.unwrap_or_else(|error| Response::Failed(error_chain(error.as_ref())))
        }
        Err(error) => Response::Failed(error_chain(error.as_ref())),
    };
    if let Err(error) = write_line(&mut stream, &response).await {
        tracing::debug!(error = %error_chain(error.as_ref()), "writing the response to the control socket failed");
    }
}

impl Executor {
    async fn run(&self, request: Request) -> anyhow::Result<Response> {
        let Self { control_plane, store, .. } = self;
        match request {
            Request::CreateAccessKey { account_name, project, role, name } => {
                let role = Role::parse(&role).context("unknown role")?;
                let new = NewAccessKey { account_name, project, role, name };
                Ok(Response::Created(control_plane.create_access_key(new).await?.into()))
            }
            Request::RevokeAccessKey { id } => {
                control_plane.revoke_access_key(&id).await?;
                Ok(Response::Revoked)
            }
            Request::CreateSignInLink { access_key } => {
                let link = dashboard_url::create_link(control_plane, self.dashboard.as_ref(), access_key.as_deref());
                Ok(Response::SignInLink(link.await?))
            }
            Request::UpgradeStore { format } => self.upgrade(format).await,
            Request::Reload { wait: true } => {
                Ok(Response::Reloaded { need_restart: self.reloader.reload().await?.need_restart })
            }
            Request::Reload { wait: false } => {
                reload::start(&self.reloader);
                Ok(Response::Reloaded { need_restart: Vec::new() })
            }
            Request::Backup { file } => Ok(Response::BackedUp { bytes: store.single_cell().backup(&file).await? }),
            Request::Import(request) => {
                Ok(Response::Imported(import::run(control_plane, &request, &ProgressBar::hidden()).await?))
            }
            Request::Purge { inactive_for_s, dry_run } => {
                let mode = if dry_run { RunMode::DryRun } else { RunMode::Apply };
                let PurgeReport { api_keys, access_keys } =
                    control_plane.purge(Duration::from_secs(inactive_for_s), mode).await?;
                Ok(Response::Purged { api_keys: api_keys.into(), access_keys: access_keys.into() })
            }
        }
    }

    async fn upgrade(&self, format: u32) -> anyhow::Result<Response> {
        let to = Format::new(format).context("the running process does not support this format: upgrade it first")?;
        let StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted } =
            self.store.single_cell().upgrade(to, log_upgrade).await?;
        Ok(Response::StoreUpgraded { checked, rewritten, unreadable, unreadable_ids, counted })
    }
}

fn log_upgrade(done: &StoreUpgrade) {
    let StoreUpgrade { checked, rewritten, counted, .. } = done;
    tracing::info!(checked, rewritten, counted, "upgrading the store");
}

async fn read_line<T: for<'a> Deserialize<'a>>(stream: &mut UnixStream) -> anyhow::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(stream.write_all(line.as_bytes()).await?)
}

//! A Unix socket in the directory of an embedded store, through which the command line asks the process
//! that holds the store for access keys and backups. Only the owner of the directory reaches it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_control_plane::{AccountOutcome, ControlPlane, NewAccessKey, PurgeReport, RunMode, Tally};
use gatepost_domain::record::Role;
use gatepost_runtime::{Task, spawn, supervise};
use gatepost_store::{Format, Store, StoreUpgrade};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::import::{self, ImportReport, ImportRequest};

/// The socket's name.
const SOCKET_FILE_NAME: &str = "control.sock";
/// Bytes of a path that a socket can have: the address holds 108 with the byte that ends it.
const MAX_PATH_BYTES: usize = 107;
/// Bytes of a request or an answer, which are one line.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// How long either side waits for the other: a backup of a large store takes a while.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// The running process is of another version.
const UNEXPECTED_RESPONSE: &str = "the running process answered something else";

/// Its account was made beside others.
pub(crate) const ACCOUNT_ADDED: &str = "added";

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    CreateAccessKey { account_name: Option<String>, project: Option<String>, role: String, name: String },
    RevokeAccessKey { id: String },
    Backup { file: PathBuf },
    Import(ImportRequest),
    Purge { inactive_for_s: u64, dry_run: bool },
    UpgradeStore { format: u32 },
}

#[derive(Serialize, Deserialize)]
enum Response {
    Created(CreatedAccessKey),
    Revoked,
    BackedUp { bytes: u64 },
    Imported(ImportReport),
    Purged { api_keys: PurgedRecords, access_keys: PurgedRecords },
    StoreUpgraded { checked: u64, rewritten: u64, unreadable: u64, unreadable_ids: Vec<String>, counted: u64 },
    Failed(String),
}

/// The tally of a purge in one kind of records.
#[derive(Serialize, Deserialize)]
struct PurgedRecords {
    seen: u64,
    removed: u64,
}

impl From<Tally> for PurgedRecords {
    fn from(Tally { seen, removed }: Tally) -> Self {
        Self { seen, removed }
    }
}

impl From<PurgedRecords> for Tally {
    fn from(PurgedRecords { seen, removed }: PurgedRecords) -> Self {
        Self { seen, removed }
    }
}

/// An access key as the command line prints it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedAccessKey {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) role: String,
    /// `there`, `first` or `added`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) account_was: String,
}

impl From<gatepost_control_plane::CreatedAccessKey> for CreatedAccessKey {
    fn from(created: gatepost_control_plane::CreatedAccessKey) -> Self {
        let access_key = created.access_key;
        Self {
            key: created.secret.expose().to_owned(),
            id: access_key.id.to_string(),
            account_id: access_key.account.to_string(),
            project_id: access_key.project.map(|project| project.to_string()),
            role: access_key.role.as_str().to_owned(),
            account_was: match created.account_outcome {
                AccountOutcome::Existing => "there",
                AccountOutcome::First => "first",
                AccountOutcome::Added => ACCOUNT_ADDED,
            }
            .to_owned(),
        }
    }
}

/// Listens in a store's directory until the process ends. Without the socket everything but the commands that ask
/// for it works, so that it cannot listen is a warning.
pub(crate) fn listen(directory: &Path, control_plane: ControlPlane, store: Store) {
    let listener = match bind(directory) {
        Ok(listener) => listener,
        Err(error) => {
            let path = directory.join(SOCKET_FILE_NAME);
            tracing::warn!(%error, path = %path.display(), "access keys and backups cannot be asked for meanwhile");
            return;
        }
    };
    let listener = Arc::new(listener);
    supervise(Task::ControlSocket, move || accept(Arc::clone(&listener), control_plane.clone(), store.clone()));
}

async fn accept(listener: Arc<UnixListener>, control_plane: ControlPlane, store: Store) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = serve_connection(stream, control_plane.clone(), store.clone());
                spawn(Task::ControlSocketConnection, async move {
                    drop(tokio::time::timeout(TIMEOUT, serving).await);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn bind(directory: &Path) -> std::io::Result<UnixListener> {
    let path = directory.join(SOCKET_FILE_NAME);
    // One that a process left behind when it was killed: the store's own lock tells that it is gone.
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let short = ShortPath::new(directory)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The socket's path, by way of the open directory where it would be longer than a socket's address can be.
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

/// Asks the process that holds the store in a directory for an access key; none if there is no such process.
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
    match send_request(directory, &request).await? {
        None => Ok(None),
        Some(Response::Created(printed)) => Ok(Some(printed)),
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Whether a running process has done what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegation {
    Done,
    NoProcess,
}

/// Asks it to revoke an access key.
pub(crate) async fn revoke_access_key(directory: &Path, id: &str) -> anyhow::Result<Delegation> {
    match send_request(directory, &Request::RevokeAccessKey { id: id.to_owned() }).await? {
        None => Ok(Delegation::NoProcess),
        Some(Response::Revoked) => Ok(Delegation::Done),
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Asks it to bring keys in; none if there is no such process.
pub(crate) async fn import(directory: &Path, request: &ImportRequest) -> anyhow::Result<Option<ImportReport>> {
    match send_request(directory, &Request::Import(request.clone())).await? {
        None => Ok(None),
        Some(Response::Imported(report)) => Ok(Some(report)),
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Asks it to purge keys; none if there is no such process.
pub(crate) async fn purge(
    directory: &Path,
    inactive_for: Duration,
    dry_run: bool,
) -> anyhow::Result<Option<PurgeReport>> {
    match send_request(directory, &Request::Purge { inactive_for_s: inactive_for.as_secs(), dry_run }).await? {
        None => Ok(None),
        Some(Response::Purged { api_keys, access_keys }) => {
            Ok(Some(PurgeReport { api_keys: api_keys.into(), access_keys: access_keys.into() }))
        }
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Asks it to raise the format of its store; none if there is no such process.
pub(crate) async fn upgrade(directory: &Path, to: Format) -> anyhow::Result<Option<StoreUpgrade>> {
    match send_request(directory, &Request::UpgradeStore { format: to.number() }).await? {
        None => Ok(None),
        Some(Response::StoreUpgraded { checked, rewritten, unreadable, unreadable_ids, counted }) => {
            Ok(Some(StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted }))
        }
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Asks it for a backup, and answers its bytes; none if there is no such process.
pub(crate) async fn backup(directory: &Path, file: &Path) -> anyhow::Result<Option<u64>> {
    match send_request(directory, &Request::Backup { file: file.to_path_buf() }).await? {
        None => Ok(None),
        Some(Response::BackedUp { bytes }) => Ok(Some(bytes)),
        Some(Response::Failed(why)) => bail!(why),
        Some(_) => bail!(UNEXPECTED_RESPONSE),
    }
}

/// Whether a process holds the store in a directory.
pub(crate) async fn is_served_by_process(directory: &Path) -> bool {
    match ShortPath::new(directory) {
        Ok(short) => UnixStream::connect(&short.path).await.is_ok(),
        Err(_) => false,
    }
}

async fn send_request(directory: &Path, request: &Request) -> anyhow::Result<Option<Response>> {
    let Ok(short) = ShortPath::new(directory) else { return Ok(None) };
    let Ok(mut stream) = UnixStream::connect(&short.path).await else { return Ok(None) };
    let exchange = async {
        write_line(&mut stream, request).await?;
        read_line::<Response>(&mut stream).await
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("the running process did not answer")?.map(Some)
}

async fn serve_connection(mut stream: UnixStream, control_plane: ControlPlane, store: Store) {
    let response = match read_line::<Request>(&mut stream).await {
        Ok(request) => handle_request(request, &control_plane, &store)
            .await
            .unwrap_or_else(|why| Response::Failed(why.to_string())),
        Err(error) => Response::Failed(error.to_string()),
    };
    if let Err(error) = write_line(&mut stream, &response).await {
        tracing::debug!(%error, "the control socket's client is gone");
    }
}

async fn handle_request(request: Request, control_plane: &ControlPlane, store: &Store) -> anyhow::Result<Response> {
    match request {
        Request::CreateAccessKey { account_name, project, role, name } => {
            let role = Role::parse(&role).context("the role is not known")?;
            let new = NewAccessKey { account_name, project, role, name };
            Ok(Response::Created(control_plane.create_access_key(new).await?.into()))
        }
        Request::RevokeAccessKey { id } => {
            control_plane.revoke_access_key(&id).await?;
            Ok(Response::Revoked)
        }
        Request::UpgradeStore { format } => {
            let to = Format::new(format).context("the running process does not know this format: restart it first")?;
            let StoreUpgrade { checked, rewritten, unreadable, unreadable_ids, counted } =
                store.upgrade(to, log_upgrade).await?;
            Ok(Response::StoreUpgraded { checked, rewritten, unreadable, unreadable_ids, counted })
        }
        Request::Backup { file } => Ok(Response::BackedUp { bytes: store.backup(&file).await? }),
        Request::Import(order) => {
            Ok(Response::Imported(import::run(control_plane, &order, &ProgressBar::hidden()).await?))
        }
        Request::Purge { inactive_for_s, dry_run } => {
            let mode = if dry_run { RunMode::DryRun } else { RunMode::Apply };
            let PurgeReport { api_keys, access_keys } =
                control_plane.purge(Duration::from_secs(inactive_for_s), mode).await?;
            Ok(Response::Purged { api_keys: api_keys.into(), access_keys: access_keys.into() })
        }
    }
}

fn log_upgrade(done: &StoreUpgrade) {
    let StoreUpgrade { checked, rewritten, counted, .. } = done;
    tracing::info!(checked, rewritten, counted, "the store is brought into the later format");
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

//! Control socket: a Unix socket through which the command line sends commands to a running process. That in the
//! directory of an embedded store takes all that concern the store, such as creating access keys, imports and backups;
//! that of `gateway.control_socket` takes reloads. Only its owner can connect.

mod executor;
mod location;
mod message;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_control_plane::{LastAdminKey, NewAccessKey, PurgeReport};
use gatepost_runtime::{Task, error_chain, spawn, supervise};
use gatepost_store::{Format, StoreUpgrade};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::dashboard_url::SignInLink;
use crate::import::{ImportReport, ImportRequest};
pub(crate) use executor::{Executor, StoreAccess};
pub(crate) use location::SocketLocation;
pub(crate) use message::{ACCOUNT_ADDED, AccessKeyPage, CreatedAccessKey};
use message::{Request, Response};

/// Maximum size of a request in bytes. It is one line.
const MAX_REQUEST_BYTES: u64 = 16 * 1024;
/// Maximum size of a response in bytes. It is one line: a page of access keys is the longest.
const MAX_RESPONSE_BYTES: u64 = 1024 * 1024;
/// Timeout of either side for the other: a backup of a large store takes a while.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Error if the running process is of another version.
const UNEXPECTED_RESPONSE: &str = "the running process returned an unexpected response: it may be of another version";

/// Listens until the process ends. A failure is only logged as a warning, because everything but the commands that use
/// the socket works without it.
pub(crate) fn listen(location: &SocketLocation, executor: Executor) {
    let listener = match location.bind() {
        Ok(listener) => listener,
        Err(error) => {
            let path = location.path();
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

/// Returns whether a process holds the store in a directory, even if its file was removed.
pub(crate) async fn is_used(directory: &Path) -> bool {
    SocketLocation::of_store(directory).connect().await.is_ok()
}

/// Result of a command that a running process may execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delegation {
    Done,
    NoProcess,
}

/// Lists access keys through the process that holds the store. Returns none if there is no such process.
pub(crate) async fn list_access_keys(
    directory: &Path,
    after: Option<&str>,
    limit: usize,
) -> anyhow::Result<Option<AccessKeyPage>> {
    let request = Request::ListAccessKeys { after: after.map(str::to_owned), limit };
    let page = |response| if let Response::AccessKeys(page) = response { Some(page) } else { None };
    call(directory, &request, page).await
}

/// Revokes an access key through the process that holds the store.
pub(crate) async fn revoke_access_key(directory: &Path, id: &str, last: LastAdminKey) -> anyhow::Result<Delegation> {
    let request = Request::RevokeAccessKey { id: id.to_owned(), allow_last: last == LastAdminKey::Revocable };
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
        | Response::AccessKeys(_)
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
        | Response::AccessKeys(_)
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

/// Has a process read its configuration again. Returns the keys of the settings that take effect
/// with a restart, without `wait` none; and none if there is no such process.
pub(crate) async fn reload(location: &SocketLocation, wait: bool) -> anyhow::Result<Option<Vec<String>>> {
    let need_restart =
        |response| if let Response::Reloaded { need_restart } = response { Some(need_restart) } else { None };
    call_at(location, &Request::Reload { wait }, need_restart).await
}

/// Returns whether a process holds the store in a directory.
pub(crate) async fn is_served_by_process(directory: &Path) -> bool {
    SocketLocation::of_store(directory).connect().await.is_ok()
}

/// Sends a request to the process that holds the store in a directory, and takes the result from its response.
/// Returns none if there is no such process.
async fn call<T>(
    directory: &Path,
    request: &Request,
    result: impl FnOnce(Response) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    call_at(&SocketLocation::of_store(directory), request, result).await
}

/// Sends a request to the process that listens on a socket, and takes the result from its response. Returns none if
/// there is no such process.
async fn call_at<T>(
    location: &SocketLocation,
    request: &Request,
    result: impl FnOnce(Response) -> Option<T>,
) -> anyhow::Result<Option<T>> {
    match send_request(location, request).await? {
        None => Ok(None),
        Some(Response::Failed(why)) => bail!(why),
        Some(response) => result(response).map(Some).context(UNEXPECTED_RESPONSE),
    }
}

async fn send_request(location: &SocketLocation, request: &Request) -> anyhow::Result<Option<Response>> {
    let Ok(mut stream) = location.connect().await else { return Ok(None) };
    let exchange = async {
        write_line(&mut stream, request).await?;
        read_line::<Response>(&mut stream, MAX_RESPONSE_BYTES).await
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .context("the running process did not respond within an hour")?
        .map(Some)
}

async fn serve_connection(mut stream: UnixStream, executor: Executor) {
    let response = match read_line::<Request>(&mut stream, MAX_REQUEST_BYTES).await {
        Ok(request) => {
            executor.run(request).await.unwrap_or_else(|error| Response::Failed(error_chain(error.as_ref())))
        }
        Err(error) => Response::Failed(error_chain(error.as_ref())),
    };
    if let Err(error) = write_line(&mut stream, &response).await {
        tracing::debug!(error = %error_chain(error.as_ref()), "writing the response to the control socket failed");
    }
}

async fn read_line<T: for<'a> Deserialize<'a>>(stream: &mut UnixStream, max_bytes: u64) -> anyhow::Result<T> {
    let mut line = String::new();
    BufReader::new(stream.take(max_bytes)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(stream.write_all(line.as_bytes()).await?)
}

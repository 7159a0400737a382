//! A Unix socket in the directory of an embedded store, through which the command line asks the process
//! that holds the store for access keys. Only the owner of the directory reaches it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use gatepost_control_plane::{ControlPlane, NewAccessKey};
use gatepost_domain::record::Role;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name.
const FILE: &str = "control.sock";
/// Bytes of a request or an answer, which are one line.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// How long either side waits for the other.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    account_name: Option<String>,
    project: Option<String>,
    role: String,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Created(Printed),
    Failed(String),
}

/// An access key as the command line prints it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Printed {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) role: String,
}

impl From<gatepost_control_plane::Created> for Printed {
    fn from(created: gatepost_control_plane::Created) -> Self {
        let access_key = created.access_key;
        Self {
            key: created.secret.expose().to_owned(),
            id: access_key.id.to_string(),
            account_id: access_key.account.to_string(),
            project_id: access_key.project.map(|project| project.to_string()),
            role: access_key.role.as_str().to_owned(),
        }
    }
}

/// Listens in a store's directory until the process ends.
pub(crate) fn listen(directory: &Path, control_plane: ControlPlane) -> anyhow::Result<()> {
    let path = path(directory);
    // One that a process left behind when it was killed: the store's own lock tells that it is gone.
    if path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let serving = serve(stream, control_plane.clone());
                    tokio::spawn(async move { drop(tokio::time::timeout(DEADLINE, serving).await) });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket does not accept");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

/// Asks the process that holds the store in a directory; none if there is no such process.
pub(crate) async fn ask(directory: &Path, new: &NewAccessKey) -> anyhow::Result<Option<Printed>> {
    let Ok(mut stream) = UnixStream::connect(path(directory)).await else { return Ok(None) };
    let request = Request {
        account_name: new.account_name.clone(),
        project: new.project.clone(),
        role: new.role.as_str().to_owned(),
        name: new.name.clone(),
    };
    let asking = async {
        write_line(&mut stream, &request).await?;
        read_line::<Answer>(&mut stream).await
    };
    let answer = tokio::time::timeout(DEADLINE, asking).await.context("the running process did not answer")??;
    match answer {
        Answer::Created(printed) => Ok(Some(printed)),
        Answer::Failed(why) => bail!(why),
    }
}

async fn serve(mut stream: UnixStream, control_plane: ControlPlane) {
    let answer = match read_line::<Request>(&mut stream).await {
        Ok(request) => create(request, &control_plane).await,
        Err(error) => Answer::Failed(error.to_string()),
    };
    if let Err(error) = write_line(&mut stream, &answer).await {
        tracing::debug!(%error, "the control socket's client is gone");
    }
}

async fn create(request: Request, control_plane: &ControlPlane) -> Answer {
    let Some(role) = Role::parse(&request.role) else { return Answer::Failed("the role is not known".to_owned()) };
    let new = NewAccessKey { account_name: request.account_name, project: request.project, role, name: request.name };
    match control_plane.create_access_key(new).await {
        Ok(created) => Answer::Created(created.into()),
        Err(failure) => Answer::Failed(failure.to_string()),
    }
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

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

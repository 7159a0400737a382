//! Connections: one for acts, and one for each reader that may block. They come back by themselves.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, ErrorKind, IntoConnectionInfo, RedisError, ScriptInvocation, ServerErrorKind, Value};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::{COMMIT_DEADLINE, CONNECT_DEADLINE};
use crate::url::redact;

/// After this long without an acknowledgement a connection is given up, so that a silent network ends it
/// as a closed one does.
const SILENCE_DEADLINE: Duration = Duration::from_secs(5);

/// A connection for acts, and apart from it those of blocking reads, which hold up what is behind them.
pub(super) struct Connections {
    acts: ConnectionManager,
    client: Client,
    /// Connections on which nobody blocks now: there are never more than readers of the feed.
    idle: Mutex<Vec<ConnectionManager>>,
}

impl Connections {
    /// Connects. A failure names the address, without credentials.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let shown = redact(url);
        let refused = |error: RedisError| StoreErrorKind::Refused.with(format!("{shown}: {error}"));
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(SILENCE_DEADLINE);
        let info = url.into_connection_info().map_err(refused)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(refused)?;
        let opening = ConnectionManager::new_with_config(client.clone(), config());
        match tokio::time::timeout(CONNECT_DEADLINE, opening).await {
            Ok(Ok(acts)) => Ok(Self { acts, client, idle: Mutex::default() }),
            Ok(Err(error)) => Err(kind(&error).with(format!("cannot reach {shown}: {error}"))),
            Err(_) => Err(StoreErrorKind::Unavailable
                .with(format!("cannot reach {shown}: no answer within {} s", CONNECT_DEADLINE.as_secs()))),
        }
    }

    /// Sends a command on the connection for acts.
    pub(super) async fn command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        let mut connection = self.acts.clone();
        within(deadline, command.query_async(&mut connection)).await
    }

    /// Runs a script; one that Redis does not know is loaded first.
    pub(super) async fn script(&self, invocation: &ScriptInvocation<'_>, deadline: Duration) -> Result<Value> {
        let mut connection = self.acts.clone();
        within(deadline, invocation.invoke_async(&mut connection)).await
    }

    /// Sends a command that may block for `wait`.
    pub(super) async fn blocking(&self, command: &Cmd, wait: Duration) -> Result<Value> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => ConnectionManager::new_lazy_with_config(self.client.clone(), config()).map_err(failure)?,
        };
        let answer = within(wait + COMMIT_DEADLINE, command.query_async(&mut connection)).await;
        self.idle().push(connection);
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<ConnectionManager>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deadlines are ours. A connection that cannot be made fails at once, and the next act tries again.
fn config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT_DEADLINE))
        .set_response_timeout(None)
}

async fn within(deadline: Duration, act: impl Future<Output = redis::RedisResult<Value>>) -> Result<Value> {
    match tokio::time::timeout(deadline, act).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failure(error)),
        Err(_) => Err(StoreErrorKind::Unavailable.with(format!("no answer within {} ms", deadline.as_millis()))),
    }
}

fn failure(error: RedisError) -> StoreError {
    kind(&error).with(error)
}

fn kind(error: &RedisError) -> StoreErrorKind {
    match (error.kind(), error.code()) {
        (_, Some("OOM" | "MISCONF")) => StoreErrorKind::Full,
        (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => StoreErrorKind::Refused,
        (ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig, _) => StoreErrorKind::Refused,
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

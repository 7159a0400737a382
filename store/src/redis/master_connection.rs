//! A connection to the store's master that reconnects by itself, also to another server after a failover.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::CONNECT_TIMEOUT;
use crate::store_server::StoreServer;

use super::acl_errors;
use super::info::parse_info;
use super::tls_errors;
use super::topology::Topology;

/// Maximum time without any reply on a shared connection while requests wait. After it the connection is replaced and
/// the waiting requests fail: their replies would come too late.
const MAX_UNANSWERED: Duration = Duration::from_secs(2);

/// Delay before the failure of a connection attempt is reported; until then nobody starts another attempt.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// Id of one run of a server process, which changes when it restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId(Arc<str>);

impl RunId {
    /// Parses the id from INFO. It is required: without it a failover would go unnoticed.
    fn parse(info: &str) -> RedisResult<Self> {
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
        let run = run.filter(|run| !run.is_empty());
        run.map(|run| Self(run.into()))
            .ok_or_else(|| (ErrorKind::Client, "the server does not report a run id (run_id in INFO server)").into())
    }
}

/// How a connection finds its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MasterDiscovery {
    /// Discovers the current master.
    Discover,
    /// Uses the server that the connection for operations discovered last.
    ReuseLast,
}

/// One connection, pipelined: replies arrive in the order of the requests.
pub(super) struct MasterConnection {
    topology: Arc<Topology>,
    discovery: MasterDiscovery,
    state: Mutex<State>,
    /// Run connected to last.
    run: watch::Sender<Option<RunId>>,
    /// Number of times that the run changed.
    run_count: AtomicU64,
}

struct State {
    opening: Opening,
    /// Counts connection attempts, so that a failed request discards only the connection it was sent on.
    generation: u64,
    /// Time of the last reply; `None` while the connection is being opened.
    last_reply_at: Option<Instant>,
    /// Server connected to last.
    server: Option<StoreServer>,
}

/// Whether a connection was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Yes,
    No,
}

type Opened = std::result::Result<(MultiplexedConnection, RunId, StoreServer), Arc<RedisError>>;
type Opening = Option<Shared<BoxFuture<'static, Opened>>>;

impl MasterConnection {
    /// Returns a connection that is opened on first use.
    pub(super) fn new(topology: Arc<Topology>, discovery: MasterDiscovery) -> Self {
        let state = State { opening: None, generation: 0, last_reply_at: None, server: None };
        Self {
            topology,
            discovery,
            state: Mutex::new(state),
            run: watch::Sender::new(None),
            run_count: AtomicU64::new(0),
        }
    }

    /// Notifies of every connection to another run.
    pub(super) fn subscribe_runs(&self) -> watch::Receiver<Option<RunId>> {
        self.run.subscribe()
    }

    /// Returns the server connected to last; none before the first connection.
    pub(super) fn server(&self) -> Option<StoreServer> {
        self.lock().server.clone()
    }

    /// Returns the number of runs connected to. It increases before anything is sent to the next one.
    pub(super) fn run_count(&self) -> u64 {
        self.run_count.load(Ordering::Acquire)
    }

    /// Sends a command and waits for its reply within `deadline`, which includes connecting.
    pub(super) async fn send_shared<F>(&self, deadline: Duration, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let started_at = Instant::now();
        let sending = self.connect_and_send(command);
        tokio::pin!(sending);
        while started_at.elapsed() < deadline {
            let silent_since =
                self.lock().last_reply_at.map_or(Instant::now(), |last_reply_at| last_reply_at.max(started_at));
            let wait_until = (silent_since + MAX_UNANSWERED).min(started_at + deadline);
            if let Ok(reply) = tokio::time::timeout_at(wait_until, &mut sending).await {
                return reply;
            }
            if self.replace_if_silent(started_at) == Replaced::Yes {
                break;
            }
        }
        Err(timeout_error(started_at.elapsed()))
    }

    /// Like [`MasterConnection::send_shared`], for a command that may block, on a connection without other users.
    pub(super) async fn send_exclusive<F>(&self, deadline: Duration, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let reply = tokio::time::timeout(deadline, self.connect_and_send(command)).await;
        reply.unwrap_or_else(|_| {
            self.lock().opening = None;
            Err(timeout_error(deadline))
        })
    }

    async fn connect_and_send<F>(&self, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let (generation, opening) = self.join_opening();
        let (mut connection, run, server) = match opening.await {
            Ok(open) => open,
            Err(error) => {
                self.discard(generation);
                return Err(connect_error(&error, self.topology.user()));
            }
        };
        self.lock().last_reply_at.get_or_insert_with(Instant::now);
        self.run.send_if_modified(|last| {
            let is_new = last.as_ref() != Some(&run);
            if is_new {
                *last = Some(run.clone());
                self.lock().server = Some(server);
                self.run_count.fetch_add(1, Ordering::AcqRel);
            }
            is_new
        });
        match command(&mut connection).await {
            Ok(value) => {
                self.lock().last_reply_at = Some(Instant::now());
                Ok((value, run))
            }
            Err(error) => {
                if must_reconnect(&error) {
                    self.discard(generation);
                }
                Err(store_error(&error, self.topology.user()))
            }
        }
    }

    /// Returns the connection attempt, which all concurrent callers share.
    fn join_opening(&self) -> (u64, Shared<BoxFuture<'static, Opened>>) {
        let mut state = self.lock();
        if let Some(opening) = &state.opening {
            return (state.generation, opening.clone());
        }
        state.generation += 1;
        state.last_reply_at = None;
        let opening = open(Arc::clone(&self.topology), self.discovery).boxed().shared();
        state.opening = Some(opening.clone());
        (state.generation, opening)
    }

    fn discard(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.opening = None;
        }
    }

    fn replace_if_silent(&self, waiting_since: Instant) -> Replaced {
        let mut state = self.lock();
        let silent_since = state.last_reply_at.map(|last_reply_at| last_reply_at.max(waiting_since));
        if silent_since.is_none_or(|since| since.elapsed() < MAX_UNANSWERED) {
            return Replaced::No;
        }
        state.opening = None;
        Replaced::Yes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timeout_error(waited: Duration) -> StoreError {
    StoreErrorKind::Unavailable.with(format!("no reply within {} ms", waited.as_millis()))
}

async fn open(topology: Arc<Topology>, discovery: MasterDiscovery) -> Opened {
    let opening = async {
        let mut connection = match discovery {
            MasterDiscovery::Discover => topology.connect_to_current().await?,
            MasterDiscovery::ReuseLast => topology.connect_to_last().await?,
        };
        let info: String = cmd("INFO").arg("server").query_async(&mut connection).await?;
        Ok((connection, RunId::parse(&info)?, StoreServer::from_info(&parse_info(&info))))
    };
    let result = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
    let error = match result {
        Ok(Ok(open)) => return Ok(open),
        Ok(Err(error)) => error,
        Err(_) => RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)),
    };
    tokio::time::sleep(RECONNECT_DELAY).await;
    Err(Arc::new(error))
}

/// Returns whether the connection is unusable: it is broken, or its server is not a master any more.
fn must_reconnect(error: &RedisError) -> bool {
    let is_not_master = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
        )
    );
    is_not_master
        || error.is_unrecoverable_error()
        || error.is_io_error()
        || matches!(error.code(), Some("NOREPLICAS" | "UNBLOCKED"))
}

/// Maps an error while connecting. No stored data was read yet, so an error reply is about the server's settings, such
/// as its number of databases, and not about corrupt data.
pub(super) fn connect_error(error: &RedisError, user: &str) -> StoreError {
    let store_error = store_error(error, user);
    if store_error.kind() == StoreErrorKind::Corrupt {
        StoreErrorKind::Refused.with(error.clone())
    } else {
        store_error
    }
}

/// Maps an error of the server or the network, for a connection as `user`.
pub(super) fn store_error(error: &RedisError, user: &str) -> StoreError {
    let message = acl_errors::denial_message(error, user)
        .or_else(|| acl_errors::login_message(error))
        .or_else(|| tls_errors::refusal_message(error));
    match message {
        Some(message) => StoreErrorKind::Refused.with(message),
        None => classify(error).with(error.clone()),
    }
}

fn classify(error: &RedisError) -> StoreErrorKind {
    match (error.kind(), error.code()) {
        (_, Some("OOM" | "MISCONF")) => StoreErrorKind::Full,
        (_, Some("WRONGTYPE")) => StoreErrorKind::Corrupt,
        (ErrorKind::InvalidClientConfig, _) => StoreErrorKind::Refused,
        // The slot is moving to another server, so no script can run. Redis has no error code for this.
        (ErrorKind::Server(ServerErrorKind::ResponseError), _)
            if error.detail().is_some_and(|detail| detail.contains("non local key")) =>
        {
            StoreErrorKind::Unavailable
        }
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_without_run_id_is_rejected() {
        assert_eq!(RunId::parse("# Server\r\nrun_id:abc\r\n").unwrap(), RunId("abc".into()));
        for info in ["# Server\r\n", "run_id:\r\n", ""] {
            assert!(RunId::parse(info).is_err(), "{info:?}");
        }
    }
}

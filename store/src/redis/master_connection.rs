//! A connection to the store's master that comes back by itself, also when another server is the master.

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

use super::acl_errors;
use super::topology::Topology;

/// A shared connection on which nothing was answered for so long, while something was waited for, is replaced,
/// and who waits is told: the answer would come too late for all others.
const MAX_UNANSWERED: Duration = Duration::from_secs(2);

/// How long a failure to connect keeps all from trying again.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// Which run of which server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId(Arc<str>);

impl RunId {
    /// The one in a server's description of itself. Without it nobody would notice another master.
    fn parse(info: &str) -> RedisResult<Self> {
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
        let run = run.filter(|run| !run.is_empty());
        run.map(|run| Self(run.into())).ok_or_else(|| {
            (ErrorKind::Client, "the server does not say which run of it answers (run_id of INFO server)").into()
        })
    }
}

/// How a link finds its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MasterDiscovery {
    /// It asks who is the master.
    Discover,
    /// It takes the server that the link for acts has found.
    ReuseLast,
}

/// One connection. What is sent on it at the same time is answered in order.
pub(super) struct MasterConnection {
    topology: Arc<Topology>,
    discovery: MasterDiscovery,
    state: Mutex<State>,
    /// The run that was connected to last.
    run: watch::Sender<Option<RunId>>,
    /// How often it was another one than before.
    run_count: AtomicU64,
}

struct State {
    opening: Opening,
    /// Counts openings: who loses a connection must not lose the next one.
    generation: u64,
    /// When something was answered last; not known while the connection is being opened.
    last_reply_at: Option<Instant>,
}

/// Whether a connection was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Yes,
    No,
}

type Opened = std::result::Result<(MultiplexedConnection, RunId), Arc<RedisError>>;
type Opening = Option<Shared<BoxFuture<'static, Opened>>>;

impl MasterConnection {
    /// A link that connects when it is first used.
    pub(super) fn new(topology: Arc<Topology>, discovery: MasterDiscovery) -> Self {
        let state = State { opening: None, generation: 0, last_reply_at: None };
        Self {
            topology,
            discovery,
            state: Mutex::new(state),
            run: watch::Sender::new(None),
            run_count: AtomicU64::new(0),
        }
    }

    /// Told whenever a connection was made: to which run.
    pub(super) fn subscribe_runs(&self) -> watch::Receiver<Option<RunId>> {
        self.run.subscribe()
    }

    /// Counts the runs that were connected to. It rises before anything is sent to the next one.
    pub(super) fn run_count(&self) -> u64 {
        self.run_count.load(Ordering::Acquire)
    }

    /// Sends a command and waits for its answer, at most so long, connecting included.
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

    /// The same for a command that may block, on a link that nobody else uses.
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
        let (mut connection, run) = match opening.await {
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

    /// The connection, or its making, in which everybody joins.
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
    StoreErrorKind::Unavailable.with(format!("no answer within {} ms", waited.as_millis()))
}

async fn open(topology: Arc<Topology>, discovery: MasterDiscovery) -> Opened {
    let opening = async {
        let mut connection = match discovery {
            MasterDiscovery::Discover => topology.connect_to_current().await?,
            MasterDiscovery::ReuseLast => topology.connect_to_last().await?,
        };
        let info: String = cmd("INFO").arg("server").query_async(&mut connection).await?;
        Ok((connection, RunId::parse(&info)?))
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

/// Whether the connection is of no use any more: it is broken, or it leads to a server that is no master.
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

/// An error while connecting. Nothing of ours was read yet: what the server answers then is about its own settings, such
/// as how many databases it has.
pub(super) fn connect_error(error: &RedisError, user: &str) -> StoreError {
    let store_error = store_error(error, user);
    if store_error.kind() == StoreErrorKind::Corrupt {
        StoreErrorKind::Refused.with(error.clone())
    } else {
        store_error
    }
}

/// An error of the server or of the way to it, met as a user of Redis.
pub(super) fn store_error(error: &RedisError, user: &str) -> StoreError {
    match acl_errors::denial_message(error, user) {
        Some(message) => StoreErrorKind::Refused.with(message),
        None => classify(error).with(error.clone()),
    }
}

fn classify(error: &RedisError) -> StoreErrorKind {
    match (error.kind(), error.code()) {
        (_, Some("OOM" | "MISCONF")) => StoreErrorKind::Full,
        (_, Some("NOAUTH" | "WRONGPASS")) => StoreErrorKind::Refused,
        (ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig, _) => StoreErrorKind::Refused,
        // A slot that is on its way to another server: no script of ours can run. There is no code for it.
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

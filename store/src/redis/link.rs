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
use crate::options::CONNECT_DEADLINE;

use super::master::Topology;
use super::refusal;

/// A shared connection on which nothing was answered for so long, while something was waited for, is replaced,
/// and who waits is told: the answer would come too late for all others.
const MAX_SILENCE: Duration = Duration::from_secs(2);

/// How long a failure to connect keeps all from trying again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Which run of which server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId(Arc<str>);

impl RunId {
    /// The one in a server's description of itself. Without it nobody would notice another master.
    fn of(info: &str) -> RedisResult<Self> {
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
        let run = run.filter(|run| !run.is_empty());
        run.map(|run| Self(run.into())).ok_or_else(|| {
            (ErrorKind::Client, "the server does not say which run of it answers (run_id of INFO server)").into()
        })
    }
}

/// How a link finds its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It asks who is the master.
    OnItsOwn,
    /// It takes the server that the link for acts has found.
    BesideActs,
}

/// One connection. What is sent on it at the same time is answered in order.
pub(super) struct Link {
    topology: Arc<Topology>,
    place: Place,
    state: Mutex<State>,
    /// The run that was connected to last.
    run: watch::Sender<Option<RunId>>,
    /// How often it was another one than before.
    run_count: AtomicU64,
}

struct State {
    opening: Opening,
    /// Counts openings: who loses a connection must not lose the next one.
    serial: u64,
    /// When something was answered last; not known while the connection is being opened.
    answered_at: Option<Instant>,
}

/// Whether a connection was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Yes,
    No,
}

type Opened = std::result::Result<(MultiplexedConnection, RunId), Arc<RedisError>>;
type Opening = Option<Shared<BoxFuture<'static, Opened>>>;

impl Link {
    /// A link that connects when it is first used.
    pub(super) fn new(topology: Arc<Topology>, place: Place) -> Self {
        let state = State { opening: None, serial: 0, answered_at: None };
        Self { topology, place, state: Mutex::new(state), run: watch::Sender::new(None), run_count: AtomicU64::new(0) }
    }

    /// Told whenever a connection was made: to which run.
    pub(super) fn runs(&self) -> watch::Receiver<Option<RunId>> {
        self.run.subscribe()
    }

    /// Counts the runs that were connected to. It rises before anything is sent to the next one.
    pub(super) fn run_count(&self) -> u64 {
        self.run_count.load(Ordering::Acquire)
    }

    /// Sends a command and waits for its answer, at most so long, connecting included.
    pub(super) async fn send<F>(&self, deadline: Duration, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let began = Instant::now();
        let sending = self.send_on_open(command);
        tokio::pin!(sending);
        while began.elapsed() < deadline {
            let silent_since = self.lock().answered_at.map_or(Instant::now(), |answered_at| answered_at.max(began));
            let wait_until = (silent_since + MAX_SILENCE).min(began + deadline);
            if let Ok(answer) = tokio::time::timeout_at(wait_until, &mut sending).await {
                return answer;
            }
            if self.replace_if_silent(began) == Replaced::Yes {
                break;
            }
        }
        Err(too_late(began.elapsed()))
    }

    /// The same for a command that may block, on a link that nobody else uses.
    pub(super) async fn send_alone<F>(&self, deadline: Duration, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let answer = tokio::time::timeout(deadline, self.send_on_open(command)).await;
        answer.unwrap_or_else(|_| {
            self.lock().opening = None;
            Err(too_late(deadline))
        })
    }

    async fn send_on_open<F>(&self, command: F) -> Result<(Value, RunId)>
    where
        F: AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<Value>,
    {
        let (serial, opening) = self.opening();
        let (mut connection, run) = match opening.await {
            Ok(open) => open,
            Err(error) => {
                self.lose(serial);
                return Err(connect_failure(&error, self.topology.user()));
            }
        };
        self.lock().answered_at.get_or_insert_with(Instant::now);
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
                self.lock().answered_at = Some(Instant::now());
                Ok((value, run))
            }
            Err(error) => {
                if ends_connection(&error) {
                    self.lose(serial);
                }
                Err(failure(&error, self.topology.user()))
            }
        }
    }

    /// The connection, or its making, in which everybody joins.
    fn opening(&self) -> (u64, Shared<BoxFuture<'static, Opened>>) {
        let mut state = self.lock();
        if let Some(opening) = &state.opening {
            return (state.serial, opening.clone());
        }
        state.serial += 1;
        state.answered_at = None;
        let opening = open(Arc::clone(&self.topology), self.place).boxed().shared();
        state.opening = Some(opening.clone());
        (state.serial, opening)
    }

    fn lose(&self, serial: u64) {
        let mut state = self.lock();
        if state.serial == serial {
            state.opening = None;
        }
    }

    fn replace_if_silent(&self, waiting_since: Instant) -> Replaced {
        let mut state = self.lock();
        let silent_since = state.answered_at.map(|answered_at| answered_at.max(waiting_since));
        if silent_since.is_none_or(|since| since.elapsed() < MAX_SILENCE) {
            return Replaced::No;
        }
        state.opening = None;
        Replaced::Yes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_late(waited: Duration) -> StoreError {
    StoreErrorKind::Unavailable.with(format!("no answer within {} ms", waited.as_millis()))
}

async fn open(topology: Arc<Topology>, place: Place) -> Opened {
    let opening = async {
        let mut connection = match place {
            Place::OnItsOwn => topology.connect().await?,
            Place::BesideActs => topology.connect_beside().await?,
        };
        let info: String = cmd("INFO").arg("server").query_async(&mut connection).await?;
        Ok((connection, RunId::of(&info)?))
    };
    let opened = tokio::time::timeout(CONNECT_DEADLINE, opening).await;
    let error = match opened {
        Ok(Ok(open)) => return Ok(open),
        Ok(Err(error)) => error,
        Err(_) => RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)),
    };
    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    Err(Arc::new(error))
}

/// Whether the connection is of no use any more: it is broken, or it leads to a server that is no master.
fn ends_connection(error: &RedisError) -> bool {
    let is_no_master = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
        )
    );
    is_no_master
        || error.is_unrecoverable_error()
        || error.is_io_error()
        || matches!(error.code(), Some("NOREPLICAS" | "UNBLOCKED"))
}

/// An error while connecting. Nothing of ours was read yet: what the server answers then is about its own settings, such
/// as how many databases it has.
pub(super) fn connect_failure(error: &RedisError, user: &str) -> StoreError {
    let failure = failure(error, user);
    if failure.kind() == StoreErrorKind::Corrupt { StoreErrorKind::Refused.with(error.clone()) } else { failure }
}

/// An error of the server or of the way to it, met as a user of Redis.
pub(super) fn failure(error: &RedisError, user: &str) -> StoreError {
    match refusal::sentence(error, user) {
        Some(sentence) => StoreErrorKind::Refused.with(sentence),
        None => kind(error).with(error.clone()),
    }
}

fn kind(error: &RedisError) -> StoreErrorKind {
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
    fn server_that_does_not_name_its_run_is_not_used() {
        assert_eq!(RunId::of("# Server\r\nrun_id:abc\r\n").unwrap(), RunId("abc".into()));
        for info in ["# Server\r\n", "run_id:\r\n", ""] {
            assert!(RunId::of(info).is_err(), "{info:?}");
        }
    }
}

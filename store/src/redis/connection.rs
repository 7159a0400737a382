//! Connections: one for acts, one for each reader that may block, one for each wait for replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisError, ScriptInvocation, Value, cmd};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::{COMMIT_DEADLINE, CONNECT_DEADLINE, LOOKUP_DEADLINE, Replicas};
use crate::url::RedisUrl;

use super::link::{Link, Place, RunId, connect_failure, failure};
use super::master::{Topology, info};
use super::scripts;

/// Waits for replicas at a time, each on a connection of its own; further ones wait for their turn.
const MAX_CONFIRMING: usize = 32;
/// How long the key of confirmations lives after it was last written: 100 years, so that it is there when memory is
/// full and no key can be made.
const CONFIRM_KEY_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// What is left of a deadline for the answer of a wait.
const ANSWER_MARGIN: Duration = Duration::from_millis(50);
/// How often a meter's command is tried on a cluster whose slots move.
const METER_RETRIES: u32 = 2;

/// The connections of one process.
pub(super) struct Connections {
    topology: Arc<Topology>,
    /// The key that is written before replicas are waited for.
    confirm_key: String,
    acts: Link,
    /// Links on which nobody waits now. There are never more than readers of the feed and [`MAX_CONFIRMING`].
    idle: Mutex<Vec<Link>>,
    confirming: Semaphore,
    meters: Meters,
    replicas: Replicas,
}

/// Where meters are.
enum Meters {
    /// Beside the records.
    WithRecords,
    /// Spread over a cluster by their own tags.
    Spread(Box<ClusterConnection>),
}

impl Connections {
    /// Connects. A failure names the address, without credentials.
    pub(super) async fn open(url: &RedisUrl, namespace: &str, replicas: Replicas) -> Result<Self> {
        let refused = |error: RedisError| StoreErrorKind::Refused.with(format!("{url}: {error}"));
        let topology = Arc::new(Topology::of(url, namespace).map_err(refused)?);
        let acts = Link::new(Arc::clone(&topology), Place::OnItsOwn);
        let opening = async {
            acts.send(CONNECT_DEADLINE, async |connection| cmd("PING").query_async(connection).await).await?;
            Meters::open(url, topology.user()).await
        };
        let opened = tokio::time::timeout(CONNECT_DEADLINE, opening).await.unwrap_or_else(|_| {
            Err(StoreErrorKind::Unavailable.with(format!("no answer within {} s", CONNECT_DEADLINE.as_secs())))
        });
        let meters = opened.map_err(|error| {
            let failed = if error.kind() == StoreErrorKind::Refused { "cannot use" } else { "cannot reach" };
            error.kind().with(format!("{failed} {url}: {}", error.cause()))
        })?;
        Ok(Self {
            topology,
            confirm_key: format!("{{{namespace}}}:confirm"),
            acts,
            idle: Mutex::default(),
            confirming: Semaphore::new(MAX_CONFIRMING),
            meters,
            replicas,
        })
    }

    /// Told whenever another run of a server became the master.
    pub(super) fn runs(&self) -> watch::Receiver<Option<RunId>> {
        self.acts.runs()
    }

    /// Counts the runs that acts were sent to.
    pub(super) fn run_count(&self) -> u64 {
        self.acts.run_count()
    }

    /// Sends a command on the connection for acts.
    pub(super) async fn command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        let sent = self.acts.send(deadline, async |connection| command.query_async(connection).await).await;
        sent.map(|(value, _)| value)
    }

    /// Runs a script; one that Redis does not know is loaded first. Answers also which run has run it.
    pub(super) async fn script(&self, invocation: &ScriptInvocation<'_>, deadline: Duration) -> Result<(Value, RunId)> {
        self.acts.send(deadline, async |connection| invocation.invoke_async(connection).await).await
    }

    /// Sends a command that may block for `wait`.
    pub(super) async fn blocking(&self, command: &Cmd, wait: Duration) -> Result<Value> {
        let link = self.take_idle();
        let answer =
            link.send_alone(wait + LOOKUP_DEADLINE, async |connection| command.query_async(connection).await).await;
        let (value, run) = answer?;
        self.put_back(link, &run);
        Ok(value)
    }

    /// Waits until as many replicas as configured have all that this run has written so far, at most until then.
    pub(super) async fn confirm(&self, run: &RunId, until: Instant) -> Result<()> {
        if self.replicas.count == 0 {
            return Ok(());
        }
        let confirmed = tokio::time::timeout_at(until, self.confirm_in_turn(run, until)).await;
        confirmed.unwrap_or_else(|_| Err(StoreErrorKind::Unconfirmed.with("no replica has confirmed it in time")))
    }

    async fn confirm_in_turn(&self, run: &RunId, until: Instant) -> Result<()> {
        let Ok(_turn) = self.confirming.acquire().await else {
            return Err(StoreErrorKind::Unconfirmed.with("the store is being closed"));
        };
        let reached = match self.await_replicas(self.take_idle(), run, until).await {
            Ok(reached) => reached,
            // An idle link may still lead to a server that is no master any more.
            Err(_) => self.await_replicas(self.new_link(), run, until).await?,
        };
        let count = self.replicas.count;
        if reached < count {
            return Err(StoreErrorKind::Unconfirmed.with(format!("{reached} of {count} replicas have it")));
        }
        Ok(())
    }

    /// How many replicas have what this run of the master has written so far. Fails where the link leads to another
    /// run.
    async fn await_replicas(&self, link: Link, run: &RunId, until: Instant) -> Result<u32> {
        let mut reached = self.write_and_wait(&link, run, until).await?;
        if reached.is_none() {
            let mut making = scripts::CONFIRM.prepare_invoke();
            making.key(&self.confirm_key);
            let made = link.send_alone(COMMIT_DEADLINE, async |connection| making.invoke_async(connection).await).await;
            made.map_err(unconfirmed)?;
            reached = self.write_and_wait(&link, run, until).await?;
        }
        self.put_back(link, run);
        reached.ok_or_else(|| StoreErrorKind::Unconfirmed.with("the key of confirmations is removed again and again"))
    }

    /// WAIT covers what its own connection has written, and of other connections what was written before that. Where
    /// a connection has written nothing, most servers answer at once. So the key of confirmations is written first,
    /// in the same pipeline: by PEXPIRE, which Redis takes also when its memory is full. `None` where there is no such
    /// key, so that nothing was written and WAIT says nothing.
    async fn write_and_wait(&self, link: &Link, run: &RunId, until: Instant) -> Result<Option<u32>> {
        let left = until.saturating_duration_since(Instant::now());
        let wait = self.replicas.wait.min(left.saturating_sub(ANSWER_MARGIN)).max(Duration::from_millis(1));
        let mut commands = redis::pipe();
        commands.cmd("PEXPIRE").arg(&self.confirm_key).arg(ms(CONFIRM_KEY_TTL));
        commands.cmd("WAIT").arg(self.replicas.count).arg(ms(wait));
        let waiting = async |connection: &mut redis::aio::MultiplexedConnection| commands.query_async(connection).await;
        let answer = link.send_alone(wait + LOOKUP_DEADLINE, waiting).await;
        let (answer, confirming) = answer.map_err(unconfirmed)?;
        if confirming != *run {
            return Err(StoreErrorKind::Unconfirmed.with("another server became the master"));
        }
        let (has_written, reached): (bool, u32) =
            redis::from_redis_value(answer).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(has_written.then_some(reached))
    }

    /// Sends a meter's command to where that meter is.
    pub(super) async fn meter_command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        match &self.meters {
            Meters::WithRecords => self.command(command, deadline).await,
            Meters::Spread(cluster) => {
                self.within(deadline, command.query_async(&mut ClusterConnection::clone(cluster))).await
            }
        }
    }

    /// The same for a script.
    pub(super) async fn meter_script(&self, invocation: &ScriptInvocation<'_>, deadline: Duration) -> Result<Value> {
        match &self.meters {
            Meters::WithRecords => self.script(invocation, deadline).await.map(|(value, _)| value),
            Meters::Spread(cluster) => {
                self.within(deadline, invocation.invoke_async(&mut ClusterConnection::clone(cluster))).await
            }
        }
    }

    async fn within(&self, deadline: Duration, act: impl Future<Output = redis::RedisResult<Value>>) -> Result<Value> {
        match tokio::time::timeout(deadline, act).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure(&error, self.topology.user())),
            Err(_) => Err(StoreErrorKind::Unavailable.with(format!("no answer within {} ms", deadline.as_millis()))),
        }
    }

    /// Keeps a link for later, unless it leads to another run than acts do.
    fn put_back(&self, link: Link, run: &RunId) {
        if self.acts.runs().borrow().as_ref() == Some(run) {
            self.idle().push(link);
        }
    }

    fn take_idle(&self) -> Link {
        let idle = self.idle().pop();
        idle.unwrap_or_else(|| self.new_link())
    }

    fn new_link(&self) -> Link {
        Link::new(Arc::clone(&self.topology), Place::BesideActs)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meters {
    async fn open(url: &RedisUrl, user: &str) -> Result<Self> {
        let failure = |error: RedisError| connect_failure(&error, user);
        let RedisUrl::Cluster(servers) = url else { return Ok(Meters::WithRecords) };
        let servers =
            servers.iter().map(|server| info(server)).collect::<redis::RedisResult<Vec<_>>>().map_err(failure)?;
        let client = ClusterClientBuilder::new(servers)
            .retries(METER_RETRIES)
            .connection_timeout(CONNECT_DEADLINE)
            .response_timeout(COMMIT_DEADLINE)
            .build()
            .map_err(failure)?;
        let connection = client.get_async_connection().await.map_err(failure)?;
        Ok(Meters::Spread(Box::new(connection)))
    }
}

/// Why something that was written is not confirmed. That Redis refuses the command is for the operator to change.
fn unconfirmed(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Refused => error,
        StoreErrorKind::Unavailable
        | StoreErrorKind::WrongStore
        | StoreErrorKind::Unconfirmed
        | StoreErrorKind::Full
        | StoreErrorKind::Corrupt => StoreErrorKind::Unconfirmed.with(error),
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

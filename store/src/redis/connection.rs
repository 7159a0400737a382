//! Connections: one for acts, one for each reader that may block, one for each wait for replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisError, ScriptInvocation, Value, cmd};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::{COMMIT_TIMEOUT, CONNECT_TIMEOUT, LOOKUP_TIMEOUT, Replicas};
use crate::url::RedisUrl;

use super::master_connection::{MasterConnection, MasterDiscovery, RunId, connect_error, store_error};
use super::scripts;
use super::topology::{Topology, parse_connection_info};

/// Waits for replicas at a time, each on a connection of its own; further ones wait for their turn.
const MAX_CONCURRENT_CONFIRMS: usize = 32;
/// How long the key of confirmations lives after it was last written: 100 years, so that it is there when memory is
/// full and no key can be made.
const CONFIRM_KEY_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// What is left of a deadline for the answer of a wait.
const WAIT_REPLY_MARGIN: Duration = Duration::from_millis(50);
/// How often a meter's command is tried on a cluster whose slots move.
const CLUSTER_RETRIES: u32 = 2;

/// The connections of one process.
pub(super) struct Connections {
    topology: Arc<Topology>,
    /// The key that is written before replicas are waited for.
    confirm_key: String,
    ops: MasterConnection,
    /// Links on which nobody waits now. There are never more than readers of the feed and [`MAX_CONCURRENT_CONFIRMS`].
    idle: Mutex<Vec<MasterConnection>>,
    confirm_permits: Semaphore,
    rate_limits: RateLimitConnection,
    replicas: Replicas,
}

/// Where meters are.
enum RateLimitConnection {
    /// Beside the records.
    Shared,
    /// Spread over a cluster by their own tags.
    Cluster(Box<ClusterConnection>),
}

impl Connections {
    /// Connects. A failure names the address, without credentials.
    pub(super) async fn open(url: &RedisUrl, namespace: &str, replicas: Replicas) -> Result<Self> {
        let to_refused = |error: RedisError| StoreErrorKind::Refused.with(format!("{url}: {error}"));
        let topology = Arc::new(Topology::new(url, namespace).map_err(to_refused)?);
        let ops = MasterConnection::new(Arc::clone(&topology), MasterDiscovery::Discover);
        let opening = async {
            ops.send_shared(CONNECT_TIMEOUT, async |connection| cmd("PING").query_async(connection).await).await?;
            RateLimitConnection::open(url, topology.user()).await
        };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| {
            Err(StoreErrorKind::Unavailable.with(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))
        });
        let rate_limits = opened.map_err(|error| {
            let verb = if error.kind() == StoreErrorKind::Refused { "cannot use" } else { "cannot reach" };
            error.kind().with(format!("{verb} {url}: {}", error.cause()))
        })?;
        Ok(Self {
            topology,
            confirm_key: format!("{{{namespace}}}:confirm"),
            ops,
            idle: Mutex::default(),
            confirm_permits: Semaphore::new(MAX_CONCURRENT_CONFIRMS),
            rate_limits,
            replicas,
        })
    }

    /// Told whenever another run of a server became the master.
    pub(super) fn subscribe_runs(&self) -> watch::Receiver<Option<RunId>> {
        self.ops.subscribe_runs()
    }

    /// Counts the runs that acts were sent to.
    pub(super) fn run_count(&self) -> u64 {
        self.ops.run_count()
    }

    /// Sends a command on the connection for acts.
    pub(super) async fn run_command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        let reply = self.ops.send_shared(deadline, async |connection| command.query_async(connection).await).await;
        reply.map(|(value, _)| value)
    }

    /// Runs a script; one that Redis does not know is loaded first. Answers also which run has run it.
    pub(super) async fn run_script(
        &self,
        invocation: &ScriptInvocation<'_>,
        deadline: Duration,
    ) -> Result<(Value, RunId)> {
        self.ops.send_shared(deadline, async |connection| invocation.invoke_async(connection).await).await
    }

    /// Sends a command that may block for `wait`.
    pub(super) async fn run_blocking_command(&self, command: &Cmd, wait: Duration) -> Result<Value> {
        let link = self.take_idle();
        let reply =
            link.send_exclusive(wait + LOOKUP_TIMEOUT, async |connection| command.query_async(connection).await).await;
        let (value, run) = reply?;
        self.return_idle(link, &run);
        Ok(value)
    }

    /// Waits until as many replicas as configured have all that this run has written so far, at most until then.
    pub(super) async fn confirm(&self, run: &RunId, until: Instant) -> Result<()> {
        if self.replicas.count == 0 {
            return Ok(());
        }
        let confirmed = tokio::time::timeout_at(until, self.confirm_with_permit(run, until)).await;
        confirmed.unwrap_or_else(|_| Err(StoreErrorKind::Unconfirmed.with("no replica has confirmed it in time")))
    }

    async fn confirm_with_permit(&self, run: &RunId, until: Instant) -> Result<()> {
        let Ok(_permit) = self.confirm_permits.acquire().await else {
            return Err(StoreErrorKind::Unconfirmed.with("the store is being closed"));
        };
        let confirmed_by = match self.count_confirming_replicas(self.take_idle(), run, until).await {
            Ok(reached) => reached,
            // An idle link may still lead to a server that is no master any more.
            Err(_) => self.count_confirming_replicas(self.new_link(), run, until).await?,
        };
        let count = self.replicas.count;
        if confirmed_by < count {
            return Err(StoreErrorKind::Unconfirmed.with(format!("{confirmed_by} of {count} replicas have it")));
        }
        Ok(())
    }

    /// How many replicas have what this run of the master has written so far. Fails where the link leads to another
    /// run.
    async fn count_confirming_replicas(&self, link: MasterConnection, run: &RunId, until: Instant) -> Result<u32> {
        let mut confirmed_by = self.write_and_wait(&link, run, until).await?;
        if confirmed_by.is_none() {
            let mut create_key = scripts::CONFIRM.prepare_invoke();
            create_key.key(&self.confirm_key);
            let created =
                link.send_exclusive(COMMIT_TIMEOUT, async |connection| create_key.invoke_async(connection).await).await;
            created.map_err(to_unconfirmed)?;
            confirmed_by = self.write_and_wait(&link, run, until).await?;
        }
        self.return_idle(link, run);
        confirmed_by
            .ok_or_else(|| StoreErrorKind::Unconfirmed.with("the key of confirmations is removed again and again"))
    }

    /// WAIT covers what its own connection has written, and of other connections what was written before that. Where
    /// a connection has written nothing, most servers answer at once. So the key of confirmations is written first,
    /// in the same pipeline: by PEXPIRE, which Redis takes also when its memory is full. `None` where there is no such
    /// key, so that nothing was written and WAIT says nothing.
    async fn write_and_wait(&self, link: &MasterConnection, run: &RunId, until: Instant) -> Result<Option<u32>> {
        let left = until.saturating_duration_since(Instant::now());
        let wait = self.replicas.timeout.min(left.saturating_sub(WAIT_REPLY_MARGIN)).max(Duration::from_millis(1));
        let mut commands = redis::pipe();
        commands.cmd("PEXPIRE").arg(&self.confirm_key).arg(ms(CONFIRM_KEY_TTL));
        commands.cmd("WAIT").arg(self.replicas.count).arg(ms(wait));
        let run_pipeline =
            async |connection: &mut redis::aio::MultiplexedConnection| commands.query_async(connection).await;
        let reply = link.send_exclusive(wait + LOOKUP_TIMEOUT, run_pipeline).await;
        let (reply, confirming_run) = reply.map_err(to_unconfirmed)?;
        if confirming_run != *run {
            return Err(StoreErrorKind::Unconfirmed.with("another server became the master"));
        }
        let (has_written, confirmed_by): (bool, u32) =
            redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(has_written.then_some(confirmed_by))
    }

    /// Sends a meter's command to where that meter is.
    pub(super) async fn run_rate_limit_command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        match &self.rate_limits {
            RateLimitConnection::Shared => self.run_command(command, deadline).await,
            RateLimitConnection::Cluster(cluster) => {
                self.with_deadline(deadline, command.query_async(&mut ClusterConnection::clone(cluster))).await
            }
        }
    }

    /// The same for a script.
    pub(super) async fn run_rate_limit_script(
        &self,
        invocation: &ScriptInvocation<'_>,
        deadline: Duration,
    ) -> Result<Value> {
        match &self.rate_limits {
            RateLimitConnection::Shared => self.run_script(invocation, deadline).await.map(|(value, _)| value),
            RateLimitConnection::Cluster(cluster) => {
                self.with_deadline(deadline, invocation.invoke_async(&mut ClusterConnection::clone(cluster))).await
            }
        }
    }

    async fn with_deadline(
        &self,
        deadline: Duration,
        operation: impl Future<Output = redis::RedisResult<Value>>,
    ) -> Result<Value> {
        match tokio::time::timeout(deadline, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(store_error(&error, self.topology.user())),
            Err(_) => Err(StoreErrorKind::Unavailable.with(format!("no answer within {} ms", deadline.as_millis()))),
        }
    }

    /// Keeps a link for later, unless it leads to another run than acts do.
    fn return_idle(&self, link: MasterConnection, run: &RunId) {
        if self.ops.subscribe_runs().borrow().as_ref() == Some(run) {
            self.lock_idle().push(link);
        }
    }

    fn take_idle(&self) -> MasterConnection {
        let idle = self.lock_idle().pop();
        idle.unwrap_or_else(|| self.new_link())
    }

    fn new_link(&self) -> MasterConnection {
        MasterConnection::new(Arc::clone(&self.topology), MasterDiscovery::ReuseLast)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<MasterConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RateLimitConnection {
    async fn open(url: &RedisUrl, user: &str) -> Result<Self> {
        let to_error = |error: RedisError| connect_error(&error, user);
        let RedisUrl::Cluster(servers) = url else { return Ok(RateLimitConnection::Shared) };
        let servers = servers
            .iter()
            .map(|server| parse_connection_info(server))
            .collect::<redis::RedisResult<Vec<_>>>()
            .map_err(to_error)?;
        let client = ClusterClientBuilder::new(servers)
            .retries(CLUSTER_RETRIES)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(COMMIT_TIMEOUT)
            .build()
            .map_err(to_error)?;
        let connection = client.get_async_connection().await.map_err(to_error)?;
        Ok(RateLimitConnection::Cluster(Box::new(connection)))
    }
}

/// Why something that was written is not confirmed. That Redis refuses the command is for the operator to change.
fn to_unconfirmed(error: StoreError) -> StoreError {
    match error.kind() {
        StoreErrorKind::Refused => error,
        StoreErrorKind::Unavailable
        | StoreErrorKind::WrongStore
        | StoreErrorKind::Unconfirmed
        | StoreErrorKind::Full
        | StoreErrorKind::Corrupt => StoreErrorKind::Unconfirmed.with(error),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

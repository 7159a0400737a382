//! Connections of a process: one for operations, one for each blocking reader, one for each wait for replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, RedisError, ScriptInvocation, Value, cmd};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::options::{COMMIT_TIMEOUT, CONNECT_TIMEOUT, LOOKUP_TIMEOUT, Replicas};
use crate::redis_access::RedisAccess;
use crate::store_server::StoreServer;
use crate::url::RedisUrl;

use super::master_connection::{MasterConnection, MasterDiscovery, RunId, connect_error, store_error};
use super::scripts;
use super::topology::{self, Master, Topology, server_info};

/// Maximum concurrent waits for replicas, each on its own connection; further ones queue.
const MAX_CONCURRENT_CONFIRMS: usize = 32;
/// TTL of the confirm key after each write: 100 years, so that the key exists when memory is full and no key can be
/// created.
const CONFIRM_KEY_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Part of a deadline reserved for receiving the reply of WAIT.
const WAIT_REPLY_MARGIN: Duration = Duration::from_millis(50);
/// Retries of a rate limit command on a cluster whose slots move.
const CLUSTER_RETRIES: u32 = 2;

/// All connections of one process.
pub(super) struct Connections {
    topology: Arc<Topology>,
    /// Key written before waiting for replicas.
    confirm_key: String,
    ops: MasterConnection,
    /// Connections that nobody uses at the moment: never more than blocking feed readers plus
    /// [`MAX_CONCURRENT_CONFIRMS`].
    idle: Mutex<Vec<MasterConnection>>,
    confirm_permits: Semaphore,
    rate_limits: RateLimitConnection,
    replicas: Replicas,
}

/// Connection for rate limits.
enum RateLimitConnection {
    /// The connection of the records.
    Shared,
    /// A cluster client: rate limits are spread over the cluster by their own hash tags.
    Cluster(Box<ClusterConnection>),
}

impl Connections {
    /// Connects. Errors name the address without credentials. Deadline 3 s.
    pub(super) async fn open(
        url: &RedisUrl,
        access: &RedisAccess,
        namespace: &str,
        replicas: Replicas,
    ) -> Result<Self> {
        let to_refused = |error: RedisError| StoreErrorKind::Refused.with_context(url.to_string(), error);
        let topology = Arc::new(Topology::new(url, access, namespace).map_err(to_refused)?);
        let ops = MasterConnection::new(Arc::clone(&topology), MasterDiscovery::Discover);
        let opening = async {
            ops.send_shared(CONNECT_TIMEOUT, async |connection| cmd("PING").query_async(connection).await).await?;
            RateLimitConnection::open(url, access, topology.user()).await
        };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| {
            Err(StoreErrorKind::Unavailable.with(format!("no reply within {} s", CONNECT_TIMEOUT.as_secs())))
        });
        let rate_limits = opened.map_err(|error| {
            let verb = if error.kind() == StoreErrorKind::Refused { "cannot use" } else { "cannot reach" };
            error.context(format!("{verb} {url}"))
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

    /// Notifies of every change of the master's run.
    pub(super) fn subscribe_runs(&self) -> watch::Receiver<Option<RunId>> {
        self.ops.subscribe_runs()
    }

    /// Returns the server that operations were sent to last; none before the first one.
    pub(super) fn server(&self) -> Option<StoreServer> {
        self.ops.server()
    }

    /// Returns the number of master runs that operations were sent to.
    pub(super) fn run_count(&self) -> u64 {
        self.ops.run_count()
    }

    /// Sends a command on the shared connection.
    pub(super) async fn run_command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        let reply = self.ops.send_shared(deadline, async |connection| command.query_async(connection).await).await;
        reply.map(|(value, _)| value)
    }

    /// Runs a script, loading it first if the server does not know it. Also returns the run that executed it.
    pub(super) async fn run_script(
        &self,
        invocation: &ScriptInvocation<'_>,
        deadline: Duration,
    ) -> Result<(Value, RunId)> {
        self.ops.send_shared(deadline, async |connection| invocation.invoke_async(connection).await).await
    }

    /// Sends a command that may block for `wait`, on its own connection. Deadline: `wait` plus 1 s.
    pub(super) async fn run_blocking_command(&self, command: &Cmd, wait: Duration) -> Result<Value> {
        let master = self.take_idle();
        let reply = master
            .send_exclusive(wait + LOOKUP_TIMEOUT, async |connection| command.query_async(connection).await)
            .await;
        let (value, run) = reply?;
        self.return_idle(master, &run);
        Ok(value)
    }

    /// Waits until the configured number of replicas have everything that this run has written so far, at most until
    /// `until`.
    pub(super) async fn confirm(&self, run: &RunId, until: Instant) -> Result<()> {
        if self.replicas.count == 0 {
            return Ok(());
        }
        let confirmed = tokio::time::timeout_at(until, self.confirm_with_permit(run, until)).await;
        confirmed.unwrap_or_else(|_| Err(StoreErrorKind::Unconfirmed.with("too few replicas confirmed it in time")))
    }

    async fn confirm_with_permit(&self, run: &RunId, until: Instant) -> Result<()> {
        let Ok(_permit) = self.confirm_permits.acquire().await else {
            return Err(StoreErrorKind::Unconfirmed.with("the store is closing"));
        };
        let confirmed_by = match self.count_confirming_replicas(self.take_idle(), run, until).await {
            Ok(reached) => reached,
            // The idle connection may lead to a server that is no longer the master.
            Err(_) => self.count_confirming_replicas(self.new_connection(), run, until).await?,
        };
        let count = self.replicas.count;
        if confirmed_by < count {
            return Err(StoreErrorKind::Unconfirmed.with(format!("{confirmed_by} of {count} replicas confirmed it")));
        }
        Ok(())
    }

    /// Returns how many replicas have everything that this run of the master has written so far. Fails if the
    /// connection leads to another run.
    async fn count_confirming_replicas(&self, master: MasterConnection, run: &RunId, until: Instant) -> Result<u32> {
        let mut confirmed_by = self.write_and_wait(&master, run, until).await?;
        if confirmed_by.is_none() {
            let mut create_key = scripts::CONFIRM.prepare_invoke();
            create_key.key(&self.confirm_key);
            let created = master
                .send_exclusive(COMMIT_TIMEOUT, async |connection| create_key.invoke_async(connection).await)
                .await;
            created.map_err(to_unconfirmed)?;
            confirmed_by = self.write_and_wait(&master, run, until).await?;
        }
        self.return_idle(master, run);
        confirmed_by.ok_or_else(|| StoreErrorKind::Unconfirmed.with("the confirm key is deleted repeatedly"))
    }

    /// WAIT covers the writes of its own connection, and all writes of other connections that precede them. For a
    /// connection that has written nothing, most servers reply at once. So the confirm key is written first, in the
    /// same pipeline, by PEXPIRE, which Redis accepts even when memory is full. Returns `None` if the key does not
    /// exist: then nothing was written and the reply of WAIT is meaningless.
    async fn write_and_wait(&self, master: &MasterConnection, run: &RunId, until: Instant) -> Result<Option<u32>> {
        let left = until.saturating_duration_since(Instant::now());
        let wait = self.replicas.timeout.min(left.saturating_sub(WAIT_REPLY_MARGIN)).max(Duration::from_millis(1));
        let mut commands = redis::pipe();
        commands.cmd("PEXPIRE").arg(&self.confirm_key).arg(ms(CONFIRM_KEY_TTL));
        commands.cmd("WAIT").arg(self.replicas.count).arg(ms(wait));
        let run_pipeline =
            async |connection: &mut redis::aio::MultiplexedConnection| commands.query_async(connection).await;
        let reply = master.send_exclusive(wait + LOOKUP_TIMEOUT, run_pipeline).await;
        let (reply, confirming_run) = reply.map_err(to_unconfirmed)?;
        if confirming_run != *run {
            return Err(StoreErrorKind::Unconfirmed.with("another server has become the master"));
        }
        let (has_written, confirmed_by): (bool, u32) =
            redis::from_redis_value(reply).map_err(|error| StoreErrorKind::Corrupt.with(error))?;
        Ok(has_written.then_some(confirmed_by))
    }

    /// Sends a rate limit command to the server that holds its keys.
    pub(super) async fn run_rate_limit_command(&self, command: &Cmd, deadline: Duration) -> Result<Value> {
        match &self.rate_limits {
            RateLimitConnection::Shared => self.run_command(command, deadline).await,
            RateLimitConnection::Cluster(cluster) => {
                self.with_deadline(deadline, command.query_async(&mut ClusterConnection::clone(cluster))).await
            }
        }
    }

    /// Like [`Connections::run_rate_limit_command`], for a script.
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

    /// Sends commands, all to keys of the store, in one pipeline. Also returns the run that executed them.
    pub(super) async fn run_pipeline(&self, commands: &redis::Pipeline, deadline: Duration) -> Result<(Value, RunId)> {
        self.ops.send_shared(deadline, async |connection| commands.query_async(connection).await).await
    }

    /// Returns the masters that have keys of the store: one, or those of a cluster.
    pub(super) async fn masters(&self) -> Result<Vec<Master>> {
        if matches!(self.rate_limits, RateLimitConnection::Shared) {
            return Ok(vec![Master::Single]);
        }
        let ranges = self.run_command(cmd("CLUSTER").arg("SLOTS"), COMMIT_TIMEOUT).await?;
        topology::slot_masters(ranges).map_err(|error| StoreErrorKind::Corrupt.with(error))
    }

    /// Sends a command to one of [`Connections::masters`].
    pub(super) async fn run_on_master(&self, master: &Master, command: &Cmd, deadline: Duration) -> Result<Value> {
        let (Master::OfCluster { host, port }, RateLimitConnection::Cluster(cluster)) = (master, &self.rate_limits)
        else {
            return self.run_command(command, deadline).await;
        };
        let route = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
        let mut cluster = ClusterConnection::clone(cluster);
        self.with_deadline(deadline, cluster.route_command(command.clone(), RoutingInfo::SingleNode(route))).await
    }

    async fn with_deadline(
        &self,
        deadline: Duration,
        operation: impl Future<Output = redis::RedisResult<Value>>,
    ) -> Result<Value> {
        match tokio::time::timeout(deadline, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(store_error(&error, self.topology.user())),
            Err(_) => Err(StoreErrorKind::Unavailable.with(format!("no reply within {} ms", deadline.as_millis()))),
        }
    }

    /// Stores a connection for reuse, unless it leads to another run than the one used for operations.
    fn return_idle(&self, master: MasterConnection, run: &RunId) {
        if self.ops.subscribe_runs().borrow().as_ref() == Some(run) {
            self.lock_idle().push(master);
        }
    }

    fn take_idle(&self) -> MasterConnection {
        let idle = self.lock_idle().pop();
        idle.unwrap_or_else(|| self.new_connection())
    }

    fn new_connection(&self) -> MasterConnection {
        MasterConnection::new(Arc::clone(&self.topology), MasterDiscovery::ReuseLast)
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<MasterConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RateLimitConnection {
    async fn open(url: &RedisUrl, access: &RedisAccess, user: &str) -> Result<Self> {
        let to_error = |error: RedisError| connect_error(&error, user);
        let RedisUrl::Cluster(servers) = url else { return Ok(RateLimitConnection::Shared) };
        let servers = servers
            .iter()
            .map(|server| server_info(server, access))
            .collect::<redis::RedisResult<Vec<_>>>()
            .map_err(to_error)?;
        let client = ClusterClientBuilder::new(servers)
            .retries(CLUSTER_RETRIES)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(COMMIT_TIMEOUT);
        let client = match &access.tls {
            Some(tls) => client.certs(tls.to_certificates()),
            None => client,
        };
        let client = client.build().map_err(to_error)?;
        let connection = client.get_async_connection().await.map_err(to_error)?;
        Ok(RateLimitConnection::Cluster(Box::new(connection)))
    }
}

/// Maps the error of a confirmation. The write itself was applied, so it is unconfirmed; only a command that Redis
/// denies is reported as such, because the operator must fix it.
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

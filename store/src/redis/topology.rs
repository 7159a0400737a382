//! Discovery of the server that holds the store: the single server, the master that sentinels report, or the master of
//! the store's slot in a cluster.

use futures::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, TlsCertificates, TlsMode, Value, cmd,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::options::CONNECT_TIMEOUT;
use crate::redis_access::{RedisAccess, RedisTls, SentinelLogin};
use crate::url::RedisUrl;

/// Time without an acknowledgement after which TCP gives up a connection, so that a silent network failure ends it like
/// a closed connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Server topology, and the master in it.
pub(super) struct Topology {
    mode: TopologyMode,
    /// The master discovered last.
    last_master: Mutex<Option<ConnectionInfo>>,
}

enum TopologyMode {
    Standalone(ConnectionInfo),
    Sentinel(SentinelSettings),
    Cluster { servers: Vec<ConnectionInfo>, tag: String },
}

/// How the master is found through sentinels.
struct SentinelSettings {
    sentinels: Vec<ConnectionInfo>,
    master: String,
    /// How servers are connected to; the host is a placeholder.
    server: ConnectionInfo,
    certificates: Option<TlsCertificates>,
}

impl Topology {
    /// Parses the URLs. `namespace` is the hash tag of the store's keys, which determines their slot in a cluster.
    pub(super) fn new(url: &RedisUrl, access: &RedisAccess, namespace: &str) -> RedisResult<Self> {
        let mode = match url {
            RedisUrl::Standalone(url) => TopologyMode::Standalone(server_info(url, access)?),
            RedisUrl::Sentinel { sentinels, master, server } => TopologyMode::Sentinel(SentinelSettings {
                sentinels: sentinels.iter().map(|url| sentinel_info(url, access)).collect::<RedisResult<_>>()?,
                master: master.clone(),
                server: server_info(server, access)?,
                certificates: access.tls.as_ref().map(RedisTls::to_certificates),
            }),
            RedisUrl::Cluster(servers) => TopologyMode::Cluster {
                servers: servers.iter().map(|url| server_info(url, access)).collect::<RedisResult<_>>()?,
                tag: format!("{{{namespace}}}"),
            },
        };
        Ok(Self { mode, last_master: Mutex::default() })
    }

    /// Returns the Redis user of the connections.
    pub(super) fn user(&self) -> &str {
        let server = match &self.mode {
            TopologyMode::Standalone(server) | TopologyMode::Sentinel(SentinelSettings { server, .. }) => Some(server),
            TopologyMode::Cluster { servers, .. } => servers.first(),
        };
        server.and_then(|server| server.redis_settings().username()).unwrap_or("default")
    }

    /// Connects to the master that the topology reports now. A stale master is detected by its failing writes.
    pub(super) async fn connect_to_current(&self) -> RedisResult<MultiplexedConnection> {
        let (connection, info) = self.discover().await?;
        *self.lock_last_master() = Some(info);
        Ok(connection)
    }

    /// Connects to the master discovered last.
    pub(super) async fn connect_to_last(&self) -> RedisResult<MultiplexedConnection> {
        let info = self.lock_last_master().clone();
        match info {
            Some(info) => open(info).await,
            None => self.connect_to_current().await,
        }
    }

    async fn discover(&self) -> RedisResult<(MultiplexedConnection, ConnectionInfo)> {
        match &self.mode {
            TopologyMode::Standalone(info) => Ok((open(info.clone()).await?, info.clone())),
            TopologyMode::Sentinel(settings) => {
                let client = settings.client()?.async_get_client().await?;
                let info = client.get_connection_info().clone();
                Ok((open(info.clone()).await?, info))
            }
            TopologyMode::Cluster { servers, tag } => {
                let mut queries: FuturesUnordered<_> =
                    servers.iter().map(|server| find_slot_master(server, tag)).collect();
                let mut last_error = no_reply_error();
                while let Some(result) = queries.next().await {
                    match result {
                        Ok(info) => return Ok(info),
                        Err(error) => last_error = error,
                    }
                }
                Err(last_error)
            }
        }
    }

    fn lock_last_master(&self) -> MutexGuard<'_, Option<ConnectionInfo>> {
        self.last_master.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection without a response timeout; callers apply their own deadlines.
async fn open(info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// Asks one server of a cluster for the master of the slot, and connects to it if its role is confirmed.
async fn find_slot_master(server: &ConnectionInfo, tag: &str) -> RedisResult<(MultiplexedConnection, ConnectionInfo)> {
    let mut node = open(server.clone()).await?;
    let slot: u16 = cmd("CLUSTER").arg("KEYSLOT").arg(tag).query_async(&mut node).await?;
    let ranges: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(&mut node).await?;
    for range in ranges {
        let mut range = range.into_iter();
        let mut next_slot = || range.next().map_or(Ok(u16::MAX), redis::from_redis_value::<u16>);
        if !(next_slot()?..=next_slot()?).contains(&slot) {
            continue;
        }
        let master_node: Vec<Value> = redis::from_redis_value(range.next().unwrap_or(Value::Nil))?;
        let info = resolve_node(server, master_node)?;
        let mut connection = open(info.clone()).await?;
        let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
        let role: String = redis::from_redis_value(role.into_iter().next().unwrap_or(Value::Nil))?;
        return match role.as_str() {
            "master" => Ok((connection, info)),
            _ => Err((ErrorKind::Client, "the server of the store's slot is no longer a master").into()),
        };
    }
    Err((ErrorKind::Client, "no server of the cluster serves the store's slot").into())
}

/// A server that has keys of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Master {
    /// The only one.
    Single,
    /// One of a cluster, as the cluster reports it.
    OfCluster { host: String, port: u16 },
}

/// Returns the masters in a reply to `CLUSTER SLOTS`, in the order of their addresses.
pub(super) fn slot_masters(reply: Value) -> RedisResult<Vec<Master>> {
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(reply)?;
    let mut masters = Vec::new();
    for range in ranges {
        // After the first and the last slot.
        let node: Vec<Value> = redis::from_redis_value(range.into_iter().nth(2).unwrap_or(Value::Nil))?;
        let mut node = node.into_iter();
        let host = redis::from_redis_value(node.next().unwrap_or(Value::Nil))?;
        masters.push(Master::OfCluster { host, port: redis::from_redis_value(node.next().unwrap_or(Value::Nil))? });
    }
    masters.sort_unstable();
    masters.dedup();
    Ok(masters)
}

/// Returns how to connect to a cluster node that `queried` reported as host, port and further fields.
fn resolve_node(queried: &ConnectionInfo, node: Vec<Value>) -> RedisResult<ConnectionInfo> {
    let mut node = node.into_iter();
    let host: Option<String> = redis::from_redis_value(node.next().unwrap_or(Value::Nil))?;
    let port: u16 = redis::from_redis_value(node.next().unwrap_or(Value::Nil))?;
    let (own_host, tls) = match queried.addr() {
        ConnectionAddr::Tcp(host, _) => (host, None),
        ConnectionAddr::TcpTls { host, insecure, tls_params, .. } => (host, Some((*insecure, tls_params.clone()))),
        ConnectionAddr::Unix(_) | _ => {
            return Err((ErrorKind::InvalidClientConfig, "a cluster requires TCP connections").into());
        }
    };
    // A server that does not know its own name leaves it empty: it is the queried one.
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| own_host.clone());
    Ok(queried.clone().set_addr(match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some((insecure, tls_params)) => ConnectionAddr::TcpTls { host, port, insecure, tls_params },
    }))
}

impl SentinelSettings {
    fn client(&self) -> RedisResult<SentinelClient> {
        let addresses = self.sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?;
        if let Some(sentinel) = self.sentinels.first() {
            builder = builder.set_client_to_sentinel_tcp_settings(sentinel.tcp_settings().clone());
            let login = sentinel.redis_settings();
            builder = apply(builder, login.username(), SentinelClientBuilder::set_client_to_sentinel_username);
            builder = apply(builder, login.password(), SentinelClientBuilder::set_client_to_sentinel_password);
        }
        let login = self.server.redis_settings();
        builder = builder
            .set_client_to_redis_tcp_settings(self.server.tcp_settings().clone())
            .set_client_to_redis_db(login.db())
            .set_client_to_redis_protocol(login.protocol());
        builder = apply(builder, login.username(), SentinelClientBuilder::set_client_to_redis_username);
        builder = apply(builder, login.password(), SentinelClientBuilder::set_client_to_redis_password);
        builder = apply(builder, tls_mode(&self.server), SentinelClientBuilder::set_client_to_redis_tls_mode);
        builder = apply(builder, self.certificates.clone(), SentinelClientBuilder::set_client_to_redis_certificates);
        builder.build()
    }
}

/// Sets an optional setting.
fn apply<T>(
    builder: SentinelClientBuilder,
    value: Option<T>,
    set: impl FnOnce(SentinelClientBuilder, T) -> SentinelClientBuilder,
) -> SentinelClientBuilder {
    match value {
        Some(value) => set(builder, value),
        None => builder,
    }
}

fn tls_mode(server: &ConnectionInfo) -> Option<TlsMode> {
    match server.addr() {
        ConnectionAddr::TcpTls { insecure: false, .. } => Some(TlsMode::Secure),
        ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => None,
    }
}

/// Returns how to connect to a server.
pub(super) fn server_info(url: &str, access: &RedisAccess) -> RedisResult<ConnectionInfo> {
    let info = connection_info(url, access)?;
    let Some(password) = &access.password else { return Ok(info) };
    let login = info.redis_settings().clone().set_password(password.expose());
    Ok(info.set_redis_settings(login))
}

/// Returns how to connect to a sentinel.
fn sentinel_info(url: &str, access: &RedisAccess) -> RedisResult<ConnectionInfo> {
    let info = connection_info(url, access)?;
    let Some(SentinelLogin { user, password }) = &access.sentinels else { return Ok(info) };
    let login = info.redis_settings().clone().set_password(password.expose());
    Ok(info.set_redis_settings(match user {
        Some(user) => login.set_username(user),
        None => login,
    }))
}

/// Parses the URL of one server, and adds the certificates if it has TLS.
fn connection_info(url: &str, access: &RedisAccess) -> RedisResult<ConnectionInfo> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT);
    let info = url.into_connection_info()?.set_tcp_settings(tcp);
    match &access.tls {
        Some(tls) => Ok(Client::build_with_tls(info, tls.to_certificates())?.get_connection_info().clone()),
        None => Ok(info),
    }
}

fn no_reply_error() -> RedisError {
    (ErrorKind::Client, "no server of the cluster replied").into()
}

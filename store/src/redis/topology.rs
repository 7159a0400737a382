//! Discovery of the server that holds the store: the single server, the master that sentinels report, or the master of
//! the store's slot in a cluster.

use futures::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, TlsMode, Value, cmd,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::options::CONNECT_TIMEOUT;
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
    Sentinel { sentinels: Vec<ConnectionInfo>, master: String, server: ConnectionInfo },
    Cluster { servers: Vec<ConnectionInfo>, tag: String },
}

impl Topology {
    /// Parses the URLs. `namespace` is the hash tag of the store's keys, which determines their slot in a cluster.
    pub(super) fn new(url: &RedisUrl, namespace: &str) -> RedisResult<Self> {
        let parse_all =
            |urls: &[String]| urls.iter().map(|url| parse_connection_info(url)).collect::<RedisResult<Vec<_>>>();
        let mode = match url {
            RedisUrl::Standalone(url) => TopologyMode::Standalone(parse_connection_info(url)?),
            RedisUrl::Sentinel { sentinels, master, server } => TopologyMode::Sentinel {
                sentinels: parse_all(sentinels)?,
                master: master.clone(),
                server: parse_connection_info(server)?,
            },
            RedisUrl::Cluster(servers) => {
                TopologyMode::Cluster { servers: parse_all(servers)?, tag: format!("{{{namespace}}}") }
            }
        };
        Ok(Self { mode, last_master: Mutex::default() })
    }

    /// Returns the Redis user of the connections.
    pub(super) fn user(&self) -> &str {
        let server = match &self.mode {
            TopologyMode::Standalone(server) | TopologyMode::Sentinel { server, .. } => Some(server),
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
            TopologyMode::Sentinel { sentinels, master, server } => {
                let mut sentinel = Sentinel::build(sentinels.clone())?;
                let client = sentinel.async_master_for(master, Some(&sentinel_node_info(server))).await?;
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

/// Returns the connection settings for servers that sentinels report.
fn sentinel_node_info(server: &ConnectionInfo) -> SentinelNodeConnectionInfo {
    let node = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(server.redis_settings().clone())
        .set_tcp_settings(server.tcp_settings().clone());
    match server.addr() {
        ConnectionAddr::TcpTls { insecure: false, .. } => node.set_tls_mode(TlsMode::Secure),
        ConnectionAddr::TcpTls { insecure: true, .. } => node.set_tls_mode(TlsMode::Insecure),
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => node,
    }
}

/// Parses the URL of one server.
pub(super) fn parse_connection_info(url: &str) -> RedisResult<ConnectionInfo> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT);
    Ok(url.into_connection_info()?.set_tcp_settings(tcp))
}

fn no_reply_error() -> RedisError {
    (ErrorKind::Client, "no server of the cluster replied").into()
}

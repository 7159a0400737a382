//! Redis with replicas and sentinels.

use std::path::Path;
use std::time::Duration;

use crate::redis::ADMIN;
use crate::{FaultProxy, RedisServer};

/// Name of the master for the sentinels.
const MASTER: &str = "main";
/// Number of the three sentinels that must agree that the master is down.
const QUORUM: u32 = 2;
/// Number of attempts, 50 ms apart, until a wait fails.
const MAX_TRIES: u32 = 400;

/// Ports through which the master is reached.
#[derive(Debug, Clone, Copy)]
pub struct MasterPorts {
    /// Port for each replica.
    pub replicas: [u16; 2],
    /// Port for the sentinels, which announce it to clients.
    pub sentinels: u16,
}

/// Master, two replicas and three sentinels, killed when dropped.
#[derive(Debug)]
pub struct SentinelSet {
    /// Redis servers. The first is the initial master.
    pub servers: Vec<RedisServer>,
    pub sentinels: Vec<RedisServer>,
}

impl SentinelSet {
    /// Starts a set, and waits until all processes know each other.
    pub fn start() -> Self {
        Self::start_with_ports(|master| MasterPorts { replicas: [master; 2], sentinels: master })
    }

    /// Starts a set whose servers use an access control list, as the lines of an ACL file.
    pub fn start_with_acl(acl: &str) -> Self {
        Self::run(Some(acl), |master| MasterPorts { replicas: [master; 2], sentinels: master })
    }

    /// Starts a set whose master is reached through other ports, which `ports` returns for the port of the master.
    ///
    /// # Panics
    /// If the set does not get ready.
    pub fn start_with_ports(ports: impl FnOnce(u16) -> MasterPorts) -> Self {
        Self::run(None, ports)
    }

    fn run(acl: Option<&str>, ports: impl FnOnce(u16) -> MasterPorts) -> Self {
        let durability_arguments =
            ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-ping-replica-period", "1"];
        let durability_arguments = || durability_arguments.into_iter().map(str::to_owned);
        let diskless = || ["--repl-diskless-sync-delay", "0"].into_iter().map(str::to_owned);
        let arguments = || durability_arguments().chain(diskless());
        let master = RedisServer::start_with_acl_and_arguments(acl, &arguments().collect::<Vec<_>>());
        let ports = ports(master.port());
        let replicas = ports.replicas.map(|port| {
            let replicaof = ["--replicaof".to_owned(), format!("127.0.0.1 {port}")];
            RedisServer::start_with_acl_and_arguments(acl, &arguments().chain(replicaof).collect::<Vec<_>>())
        });
        let servers = [master].into_iter().chain(replicas).collect();
        let sentinels = (0..3).map(|_| {
            RedisServer::start_configured(|port, directory| write_sentinel_conf(port, directory, ports.sentinels, acl))
        });
        let set = Self { servers, sentinels: sentinels.collect() };
        set.await_ready();
        set
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Waits until a sentinel reports a master with another port, and returns its index in `servers`.
    ///
    /// # Panics
    /// If there is no failover.
    pub fn await_master_other_than(&self, port: u16) -> usize {
        for _ in 0..MAX_TRIES {
            if let Some(index) = self.master_other_than(port) {
                return index;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("there was no failover");
    }

    /// Waits until a sentinel reports a master with another port, and that master has a replica, without which it
    /// acknowledges no write. Sentinels may take a while to reconfigure a stopped replica, and may choose another
    /// master in the meantime.
    ///
    /// # Panics
    /// If there is no failover, or no replica follows the new master.
    pub fn await_followed_master_other_than(&self, port: u16) -> usize {
        for _ in 0..MAX_TRIES {
            let has_replica =
                |index: &usize| self.servers[*index].redis_cli(&["info", "replication"]).contains("state=online");
            if let Some(index) = self.master_other_than(port).filter(has_replica) {
                return index;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no replica follows the new master");
    }

    fn master_other_than(&self, port: u16) -> Option<usize> {
        let reply = self.sentinels[2].redis_cli(&["sentinel", "get-master-addr-by-name", MASTER]);
        let master_port = reply.lines().nth(1).and_then(|text| text.parse::<u16>().ok());
        master_port.filter(|named| *named != port).and_then(|named| self.index_of(named))
    }

    /// Prevents the promotion of a server, as soon as the sentinels have refreshed its state.
    pub fn never_promote(&self, index: usize) {
        self.servers[index].redis_cli(&["config", "set", "replica-priority", "0"]);
    }

    /// Makes a replica follow the first server through a proxy. The sentinels revert that after some seconds.
    ///
    /// # Panics
    /// If the replica does not connect through the proxy.
    pub fn replicate_through(&self, index: usize, proxy: &FaultProxy) {
        let replica = &self.servers[index];
        replica.redis_cli(&["replicaof", "127.0.0.1", &proxy.port().to_string()]);
        for _ in 0..MAX_TRIES {
            let state = replica.redis_cli(&["info", "replication"]);
            if state.contains(&format!("master_port:{}\r", proxy.port())) && state.contains("master_link_status:up") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the replica does not follow the master through the proxy");
    }

    fn index_of(&self, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.port() == port)
    }

    fn await_ready(&self) {
        let knows_all = |sentinel: &RedisServer| {
            let known = sentinel.redis_cli(&["info", "sentinel"]);
            known.contains("status=ok") && known.contains("slaves=2,sentinels=3")
        };
        for _ in 0..MAX_TRIES {
            let are_replicas_online =
                self.servers[0].redis_cli(&["info", "replication"]).matches("state=online").count() == 2;
            if are_replicas_online && self.sentinels.iter().all(knows_all) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the sentinels do not know all servers: {}", self.sentinels[0].redis_cli(&["info", "sentinel"]));
    }
}

/// Writes the configuration of a sentinel, which must be a file because the sentinel writes its state into it.
fn write_sentinel_conf(port: u16, directory: &Path, master: u16, acl: Option<&str>) -> Vec<String> {
    let file = directory.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} {QUORUM}\n\
         sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n",
        directory.display()
    );
    let credentials = format!("sentinel auth-user {MASTER} {ADMIN}\nsentinel auth-pass {MASTER} {ADMIN}\n");
    let text = if acl.is_some() { text + &credentials } else { text };
    std::fs::write(&file, text).expect("our own directory can be written");
    vec![file.display().to_string(), "--sentinel".to_owned()]
}

//! A Redis with replicas and sentinels.

use std::path::Path;
use std::time::Duration;

use crate::redis::ADMIN;
use crate::{FaultProxy, RedisServer};

/// The name under which the sentinels know the master.
const MASTER: &str = "main";
/// Sentinels that must agree that the master is gone, of three.
const QUORUM: u32 = 2;
/// How often the set is asked, 50 ms apart, before it is given up.
const MAX_TRIES: u32 = 400;

/// By which ports the master is reached.
#[derive(Debug, Clone, Copy)]
pub struct MasterPorts {
    /// By each replica.
    pub replicas: [u16; 2],
    /// By sentinels, which tell it to clients.
    pub sentinels: u16,
}

/// A master, two replicas and three sentinels, killed when dropped.
#[derive(Debug)]
pub struct SentinelSet {
    /// The first is the master at the start.
    pub servers: Vec<RedisServer>,
    /// Those that watch it.
    pub sentinels: Vec<RedisServer>,
}

impl SentinelSet {
    /// Starts one, and waits until all know each other.
    pub fn start() -> Self {
        Self::start_with_ports(|master| MasterPorts { replicas: [master; 2], sentinels: master })
    }

    /// Starts one whose servers have an access control list: the lines of an ACL file.
    pub fn start_with_acl(acl: &str) -> Self {
        Self::run(Some(acl), |master| MasterPorts { replicas: [master; 2], sentinels: master })
    }

    /// The same where the master is reached through other ports, which `ports` makes of its own.
    ///
    /// # Panics
    /// If it does not come together.
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

    /// The store's URL.
    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port())).collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Waits until a sentinel names another master than this port, and answers its place among the servers.
    ///
    /// # Panics
    /// If it never does.
    pub fn await_master_other_than(&self, port: u16) -> usize {
        for _ in 0..MAX_TRIES {
            if let Some(index) = self.master_other_than(port) {
                return index;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("there was no failover");
    }

    /// The same, and until that has a replica which follows it: before, it acknowledges nothing. Sentinel may take a while
    /// to give one that was stopped its new master, and may change its mind meanwhile.
    ///
    /// # Panics
    /// If it never has.
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

    /// Keeps sentinels from making a server the master, from when they have asked it again.
    pub fn never_promote(&self, index: usize) {
        self.servers[index].redis_cli(&["config", "set", "replica-priority", "0"]);
    }

    /// Lets a replica follow the first server through a proxy, until the sentinels see it after some seconds.
    ///
    /// # Panics
    /// If it never follows it there.
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
        panic!("the sentinels never knew all: {}", self.sentinels[0].redis_cli(&["info", "sentinel"]));
    }
}

/// A sentinel writes what it learns into its configuration.
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

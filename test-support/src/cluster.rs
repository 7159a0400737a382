//! Redis Cluster.

use std::process::Command;
use std::time::Duration;

use crate::{RedisServer, free_port};

/// Number of attempts, 50 ms apart, until a wait fails.
const MAX_TRIES: u32 = 400;

/// Three masters with one replica each, killed when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// All servers. Failovers change which of them are masters.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster, and waits until it serves all slots.
    ///
    /// # Panics
    /// If the cluster does not form.
    pub fn start() -> Self {
        Self::run(None)
    }

    /// Starts a cluster whose servers use an access control list, as the lines of an ACL file.
    ///
    /// # Panics
    /// If the cluster does not form.
    pub fn start_with_acl(acl: &str) -> Self {
        Self::run(Some(acl))
    }

    /// Returns the arguments of a cluster server that has not joined yet. The bus port is set explicitly, because the
    /// default of port + 10,000 is in the range of outgoing connections.
    pub fn server_arguments() -> Vec<String> {
        let bus = free_port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
        arguments.map(str::to_owned).to_vec()
    }

    fn run(acl: Option<&str>) -> Self {
        let server = || RedisServer::start_with_acl_and_arguments(acl, &Self::server_arguments());
        let cluster = Self { servers: (0..6).map(|_| server()).collect() };
        let addresses = cluster.servers.iter().map(|server| format!("127.0.0.1:{}", server.port()));
        let created = Command::new("redis-cli")
            .args(cluster.servers[0].credentials())
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .expect("redis-cli is installed");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        cluster.await_slots();
        cluster
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Returns the index of the server that is the master of a key's slot, according to a reachable server.
    pub fn master_of(&self, key: &str) -> Option<usize> {
        self.servers.iter().find_map(|server| {
            let slot: u32 = server.redis_cli(&["cluster", "keyslot", key]).parse().ok()?;
            let nodes = server.redis_cli(&["cluster", "nodes"]);
            let owns_slot = |line: &&str| line.split(' ').skip(8).any(|range| range_contains(range, slot));
            let line = nodes.lines().filter(|line| !line.contains("fail")).find(owns_slot)?;
            let port: u16 = line.split(' ').nth(1)?.split([':', '@']).nth(1)?.parse().ok()?;
            self.servers.iter().position(|server| server.port() == port)
        })
    }

    /// Fails over from a master to its replica, in coordination with the master.
    ///
    /// # Panics
    /// If there is no replica, or it does not become the master.
    pub fn fail_over(&self, master: usize) {
        let own = self.servers[master].redis_cli(&["cluster", "myid"]);
        let is_its_replica = |server: &&RedisServer| {
            server
                .redis_cli(&["cluster", "nodes"])
                .lines()
                .any(|line| line.contains("myself,slave") && line.contains(&own))
        };
        let replica = self.servers.iter().find(is_its_replica).expect("every master has a replica");
        assert_eq!(replica.redis_cli(&["cluster", "failover"]), "OK");
        for _ in 0..MAX_TRIES {
            if replica.redis_cli(&["role"]).starts_with("master") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the replica did not become the master");
    }

    /// Moves slots from the master of a key to another master in batches of `count`, until the key's slot has moved.
    ///
    /// # Panics
    /// If moving slots fails.
    pub fn move_slots_of(&self, key: &str, count: u32) {
        let from = self.master_of(key).expect("the slot has a master");
        let is_other_master = |server: &&RedisServer| {
            server.port() != self.servers[from].port() && server.redis_cli(&["role"]).starts_with("master")
        };
        let to = self.servers.iter().find(is_other_master).expect("there is another master");
        while self.master_of(key) == Some(from) {
            let moved = Command::new("redis-cli")
                .args(to.credentials())
                .args(["--cluster", "reshard", &format!("127.0.0.1:{}", to.port()), "--cluster-yes"])
                .args(["--cluster-from", &self.servers[from].redis_cli(&["cluster", "myid"])])
                .args(["--cluster-to", &to.redis_cli(&["cluster", "myid"]), "--cluster-slots", &count.to_string()])
                .output()
                .expect("redis-cli is installed");
            assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stdout));
        }
    }

    /// Waits until all servers report that all slots are served, and every master has a replica in sync.
    ///
    /// # Panics
    /// If the cluster does not become healthy in time.
    pub fn await_slots(&self) {
        let is_healthy = |server: &RedisServer| {
            let info = server.redis_cli(&["cluster", "info"]);
            let replication = server.redis_cli(&["info", "replication"]);
            info.contains("cluster_state:ok")
                && info.contains("cluster_known_nodes:6")
                && (replication.contains("state=online") || replication.contains("master_link_status:up"))
        };
        for _ in 0..MAX_TRIES {
            if self.servers.iter().all(is_healthy) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the cluster does not serve all slots: {}", self.servers[0].redis_cli(&["cluster", "nodes"]));
    }
}

/// Returns whether a range of slots, `5` or `0-5460`, contains a slot.
fn range_contains(range: &str, slot: u32) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let bounds = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
    bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
}

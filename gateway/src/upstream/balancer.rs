//! Choice of a server among those of an upstream: round robin over the servers that are not ejected.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost_domain::time::Uptime;

use super::server::Server;

/// Round robin over the servers of one upstream.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    next: AtomicUsize,
}

impl Balancer {
    /// Returns the next server that is not ejected; if all are, the next one.
    ///
    /// # Panics
    /// If there is no server. An upstream has at least one.
    pub(super) fn choose<'a>(&self, servers: &'a [Arc<Server>], now: Uptime) -> &'a Arc<Server> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % servers.len();
        let mut in_turn = servers[start..].iter().chain(&servers[..start]);
        in_turn.find(|server| server.ejection.is_over(now)).unwrap_or(&servers[start])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_take_turns_and_an_ejected_one_is_skipped_for_two_seconds() {
        let servers: Vec<Arc<Server>> = (1..=3).map(|port| Arc::new(Server::for_test(port))).collect();
        let balancer = Balancer::default();
        let ports = |now_ms: u64| {
            let choose = || balancer.choose(&servers, Uptime::from_ms(now_ms)).address.port();
            [choose(), choose(), choose()]
        };
        assert_eq!(ports(0), [1, 2, 3]);
        servers[1].ejection.start(Uptime::from_ms(1000));
        assert_eq!(ports(2999), [1, 3, 3]);
        assert_eq!(ports(3000), [1, 2, 3]);
        servers.iter().for_each(|server| server.ejection.start(Uptime::from_ms(3000)));
        assert_eq!(ports(3001), [1, 2, 3], "if all are ejected, none is skipped");
    }
}

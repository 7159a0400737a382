//! Caps on open connections: in all, and of each client.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost_edge::{ClientSlot, PerClientLimiter, client_ip};

use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

pub(crate) struct ConnectionLimits {
    metrics: Arc<Metrics>,
    open_count: Arc<AtomicUsize>,
    per_client: PerClientLimiter,
}

impl ConnectionLimits {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, open_count: Arc::default(), per_client: PerClientLimiter::default() }
    }

    /// Returns a slot for a connection from an address, or none if there are too many.
    pub(crate) fn try_acquire(&self, address: IpAddr, snapshot: &Snapshot) -> Option<ConnectionSlot> {
        let open = OpenConnection::register(&self.open_count, &self.metrics);
        if open.open_before >= snapshot.limits.max_connections {
            self.refuse("too-many");
            return None;
        }
        self.assign(open, address, snapshot)
    }

    /// Returns the slot for another address, whose connection it has turned out to be, or none if that has too many.
    pub(crate) fn reassign(
        &self,
        slot: ConnectionSlot,
        address: IpAddr,
        snapshot: &Snapshot,
    ) -> Option<ConnectionSlot> {
        self.assign(slot.open, address, snapshot)
    }

    fn assign(&self, open: OpenConnection, address: IpAddr, snapshot: &Snapshot) -> Option<ConnectionSlot> {
        // The connections of a trusted proxy are those of all its clients.
        if client_ip::is_trusted(&address, &snapshot.policy.trusted_proxies) {
            return Some(ConnectionSlot { open, _client_slot: None });
        }
        let client_slot = self.per_client.try_acquire(address, snapshot.limits.max_connections_per_address);
        if client_slot.is_none() {
            self.refuse("too-many-of-address");
            return None;
        }
        Some(ConnectionSlot { open, _client_slot: client_slot })
    }

    fn refuse(&self, reason: &'static str) {
        self.metrics.refused_connections.with_label_values(&[reason]).inc();
    }
}

/// An open connection, counted until it is dropped.
pub(crate) struct ConnectionSlot {
    open: OpenConnection,
    _client_slot: Option<ClientSlot>,
}

struct OpenConnection {
    /// Count without this one.
    open_before: usize,
    count: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl OpenConnection {
    fn register(count: &Arc<AtomicUsize>, metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        let open_before = count.fetch_add(1, Ordering::AcqRel);
        Self { open_before, count: Arc::clone(count), metrics: Arc::clone(metrics) }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.metrics.connections.dec();
    }
}

//! Connections of clients: how many there may be. Pingora has no cap, so its HTTP application runs
//! inside this one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gatepost_runtime::{Task, catch};
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;

use crate::metrics::Metrics;
use crate::options::Limits;
use crate::watched;

/// Runs an application for each connection, if there may be one more.
pub(crate) struct Connections<A> {
    app: Arc<A>,
    metrics: Arc<Metrics>,
    limits: Limits,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl<A> Clone for Connections<A> {
    fn clone(&self) -> Self {
        Self {
            app: Arc::clone(&self.app),
            metrics: Arc::clone(&self.metrics),
            limits: self.limits.clone(),
            open: Arc::clone(&self.open),
        }
    }
}

impl<A> Connections<A> {
    pub(crate) fn new(app: A, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self { app: Arc::new(app), metrics, limits, open: Arc::default() }
    }

    /// A place for a connection; none if there are too many.
    fn enter(&self, address: Option<IpAddr>) -> Option<Place> {
        let reason = match self.open.enter(address, &self.limits) {
            Ok(()) => {
                self.metrics.connections.inc();
                return Some(Place { open: Arc::clone(&self.open), metrics: Arc::clone(&self.metrics), address });
            }
            Err(reason) => reason,
        };
        self.metrics.refused_connections.with_label_values(&[reason]).inc();
        None
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Connections<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        let address =
            digest.and_then(|digest| digest.peer_addr()?.as_inet().map(|address| address.ip().to_canonical()));
        let _place = self.enter(address)?;
        let serving =
            watched::watch(stream, self.limits.header_timeout, |stream| self.app.process_new(stream, shutdown));
        // One that panics is closed.
        catch(Task::GatewayConnection, serving).await.unwrap_or(None)
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

impl Open {
    fn enter(&self, address: Option<IpAddr>, limits: &Limits) -> Result<(), &'static str> {
        if self.all.fetch_add(1, Ordering::AcqRel) >= limits.max_connections {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err("too-many");
        }
        let Some(address) = address else { return Ok(()) };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.max_connections_per_address {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err("too-many-of-address");
        }
        *count += 1;
        Ok(())
    }

    fn leave(&self, address: Option<IpAddr>) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        let Some(address) = address else { return };
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// A connection that counts until it is dropped.
struct Place {
    open: Arc<Open>,
    metrics: Arc<Metrics>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.leave(self.address);
        self.metrics.connections.dec();
    }
}

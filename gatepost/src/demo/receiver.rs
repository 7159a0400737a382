//! Sample webhook receiver, which queues its requests for the walkthrough to verify.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::{Mutex, mpsc};

use super::server;

/// Maximum number of requests that wait for the walkthrough.
const MAX_QUEUED_REQUESTS: usize = 1000;
/// Timeout for the next webhook.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Receiver {
    address: SocketAddr,
    received: Mutex<mpsc::Receiver<Request<Bytes>>>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (sender, received) = mpsc::channel(MAX_QUEUED_REQUESTS);
        let address = server::start(move |request| {
            // A request that does not fit into the queue is dropped.
            let _ = sender.try_send(request);
            Response::new(Full::default())
        })
        .await?;
        Ok(Self { address, received: Mutex::new(received) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the next webhook request.
    pub(crate) async fn next(&self) -> anyhow::Result<Request<Bytes>> {
        let mut received = self.received.lock().await;
        let next =
            tokio::time::timeout(DEADLINE, received.recv()).await.context("no webhook was received within 10 s")?;
        next.context("the receiver has stopped")
    }
}

//! The sample webhook receiver: it keeps what it gets, for the story to verify.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::{Mutex, mpsc};

use super::server;

/// Requests that wait to be told of.
const MAX_QUEUED_REQUESTS: usize = 1000;
/// How long the story waits for a webhook.
const DEADLINE: Duration = Duration::from_secs(10);

/// A running receiver.
pub(crate) struct Receiver {
    address: SocketAddr,
    received: Mutex<mpsc::Receiver<Request<Bytes>>>,
}

impl Receiver {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (sender, received) = mpsc::channel(MAX_QUEUED_REQUESTS);
        let address = server::start(move |request| {
            // What nobody waits for any more need not be kept.
            drop(sender.try_send(request));
            Response::new(Full::default())
        })
        .await?;
        Ok(Self { address, received: Mutex::new(received) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next webhook request.
    pub(crate) async fn next(&self) -> anyhow::Result<Request<Bytes>> {
        let mut received = self.received.lock().await;
        let next = tokio::time::timeout(DEADLINE, received.recv()).await.context("no webhook came in time")?;
        next.context("the receiver has ended")
    }
}

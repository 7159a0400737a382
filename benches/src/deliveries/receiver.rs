//! Receiver of webhooks that responds at once, or hangs, and knows when each event was created.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Path on which requests hang for longer than the deliverer's timeout.
pub(super) const HANGING_PATH: &str = "hanging";
/// Duration of hanging requests.
const HANG_DURATION: Duration = Duration::from_secs(15);
/// Interval between two checks of the number of received deliveries.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum time without a new delivery until a wait fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum of recorded latencies in µs.
const MAX_LATENCY_US: u64 = 600_000_000;

#[derive(Debug, Default)]
struct ReceivedDeliveries {
    count: u64,
    first_at: Option<Instant>,
    last_at: Option<Instant>,
    /// Times of the deliveries of each event.
    received_at: HashMap<String, Vec<Instant>>,
    sent_at: HashMap<String, Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct WebhookReceiver {
    address: SocketAddr,
    deliveries: Arc<Mutex<ReceivedDeliveries>>,
}

impl WebhookReceiver {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let receiver = Self { address: listener.local_addr()?, deliveries: Arc::default() };
        let receiver_handle = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver_handle.clone();
                // Servers usually disable Nagle's algorithm.
                let _ = stream.set_nodelay(true);
                let service = service_fn(move |request| receiver.clone().handle(request));
                // A client may close the connection at any time.
                tokio::spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(receiver)
    }

    async fn handle(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        if body.collect().await.is_err() {
            return Ok(Response::default());
        }
        if head.uri.path().ends_with(HANGING_PATH) {
            tokio::time::sleep(HANG_DURATION).await;
            return Ok(Response::default());
        }
        let event = head.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let now = Instant::now();
        let mut deliveries = self.lock();
        deliveries.count += 1;
        deliveries.first_at.get_or_insert(now);
        deliveries.last_at = Some(now);
        deliveries.received_at.entry(event.to_owned()).or_default().push(now);
        Ok(Response::default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReceivedDeliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Records when an event was created.
    pub(super) fn record_sent(&self, event: &str, at: Instant) {
        self.lock().sent_at.insert(event.to_owned(), at);
    }

    /// Returns the number of deliveries so far.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Returns the time from the first to the last delivery.
    pub(super) fn elapsed(&self) -> Duration {
        let deliveries = self.lock();
        deliveries.last_at.zip(deliveries.first_at).map_or(Duration::ZERO, |(last, first)| last - first)
    }

    /// Removes all records.
    pub(super) fn reset(&self) {
        *self.lock() = ReceivedDeliveries::default();
    }

    /// Waits until a number of deliveries were received.
    pub(super) async fn await_count(&self, count: u64) -> anyhow::Result<()> {
        let (mut seen, mut since) = (self.count(), Instant::now());
        while seen < count {
            tokio::time::sleep(POLL_INTERVAL).await;
            let now = self.count();
            if now > seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > STALL_TIMEOUT {
                bail!("only {seen} of {count} deliveries were received");
            }
        }
        Ok(())
    }

    /// Returns the latencies in µs from just before the creation of each event to each of its deliveries.
    pub(super) fn latencies(&self) -> anyhow::Result<Histogram<u64>> {
        let deliveries = self.lock();
        let mut latencies = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?;
        for (event, sent_at) in &deliveries.sent_at {
            for received_at in deliveries.received_at.get(event).into_iter().flatten() {
                latencies.saturating_record(u64::try_from((*received_at - *sent_at).as_micros())?);
            }
        }
        Ok(latencies)
    }
}

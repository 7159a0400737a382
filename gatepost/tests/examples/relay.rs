//! Relay between Gatepost and a receiver, which reports each delivery with the receiver's response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::delivery::Delivery;

/// Maximum time until a delivery, on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Running relay, which ends with the test.
pub(crate) struct Relay {
    address: SocketAddr,
    deliveries: Receiver<(Delivery, u16)>,
}

impl Relay {
    /// Starts a relay to a receiver on a port of the loopback interface.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, deliveries) = channel(16);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| forward(port, request, sender.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, deliveries }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits for the next delivery, and returns it with the status of the response.
    pub(crate) async fn next_delivery(&mut self) -> (Delivery, u16) {
        tokio::time::timeout(DEADLINE, self.deliveries.recv()).await.unwrap().unwrap()
    }
}

/// Sends a request on to the receiver with all its headers, and its status back.
async fn forward(
    port: u16,
    request: Request<Incoming>,
    deliveries: Sender<(Delivery, u16)>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let url = format!("http://127.0.0.1:{port}{}", parts.uri);
    let sent = crate::admin::client().request(parts.method, url).headers(parts.headers.clone()).body(body.clone());
    let status = sent.send().await.unwrap().status();
    deliveries.send((Delivery::new(&parts.headers, body.into()), status.as_u16())).await.unwrap();
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

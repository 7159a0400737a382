//! The class of each way in which an attempt fails.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use gatepost_domain::id::EventId;
use gatepost_domain::time::{Clock, Timestamp, Uptime};
use gatepost_test_support::{AfterReply, Gate, MockServer, Reply, free_port};
use gatepost_webhook_client::{ATTEMPT_DEADLINE, Message, PrivateNetworks, SendResult, Sender, SsrfGuard};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use url::Url;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_764_000_000_000)
    }

    fn uptime(&self) -> Uptime {
        Uptime::default()
    }
}

async fn send(url: &str, private_networks: PrivateNetworks) -> SendResult {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sender = Sender::new(SsrfGuard::new(private_networks), Arc::new(FixedClock)).unwrap();
    let message = Message {
        url: &Url::parse(url).unwrap(),
        method: "POST",
        headers: &[],
        id: &EventId::parse("evt_test").unwrap(),
        body: b"{}".to_vec(),
        secrets: &[],
        static_token: None,
        confidential: &[],
    };
    sender.send(message).await
}

async fn check(url: &str, expected: &str) {
    let error = send(url, PrivateNetworks::Allowed).await.error.unwrap();
    assert_eq!(error.class().as_str(), expected, "{error:?}");
}

/// Starts a server that does something with its first connection, and returns its address.
fn serve_once(serve: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    address.to_string()
}

#[tokio::test]
async fn closed_port_is_refused() {
    check(&format!("http://127.0.0.1:{}/", free_port()), "refused").await;
}

#[tokio::test]
async fn connection_closed_inside_the_response_is_reset() {
    let receiver = MockServer::with_script(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-le", AfterReply::Close));
    check(&receiver.url(), "reset").await;
}

#[tokio::test]
async fn connection_reset_by_the_receiver_is_reset() {
    // Closing a socket with bytes that were not read resets the connection.
    let address = serve_once(|mut stream| stream.read_exact(&mut [0]).unwrap());
    check(&format!("http://{address}/"), "reset").await;
}

#[tokio::test]
async fn certificate_that_is_not_trusted_is_tls() {
    let certificate = CertificateDer::from(include_bytes!("self-signed.der").as_slice());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(include_bytes!("self-signed.key.der").as_slice()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let address = serve_once(move |mut stream| {
        let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        // The client ends the handshake.
        let _ = tls.complete_io(&mut stream);
    });
    check(&format!("https://{address}/"), "tls").await;
}

#[tokio::test]
async fn receiver_without_tls_is_tls() {
    let address = serve_once(|mut stream| {
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = send(&format!("https://{address}/"), PrivateNetworks::Allowed).await.error.unwrap();
    assert_eq!((error.class().as_str(), error.to_string().as_str()), ("tls", "the server does not speak TLS"));
}

#[tokio::test]
async fn name_that_does_not_resolve_is_dns() {
    check("http://name.invalid/", "dns").await;
}

#[tokio::test]
async fn receiver_that_does_not_respond_is_timeout() {
    let receiver = MockServer::with_gate(&Gate::default());
    let url = receiver.url();
    let let_time_pass = async {
        while receiver.request_count() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(ATTEMPT_DEADLINE).await;
    };
    let ((), ()) = tokio::join!(check(&url, "timeout"), let_time_pass);
}

#[tokio::test]
async fn private_address_is_blocked() {
    let error = send("https://10.0.0.1/", PrivateNetworks::Refused).await.error.unwrap();
    assert_eq!(error.class().as_str(), "blocked", "{error:?}");
}

#[tokio::test]
async fn bytes_that_are_not_http_are_protocol() {
    let receiver = MockServer::with_script(|_| Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n", AfterReply::Close));
    check(&receiver.url(), "protocol").await;
}

#[tokio::test]
async fn response_with_an_error_status_is_status() {
    let receiver = MockServer::with_script(|_| Reply { status: 500, ..Reply::default() });
    check(&receiver.url(), "status").await;
}

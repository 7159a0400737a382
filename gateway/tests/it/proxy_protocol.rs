//! Clients behind a load balancer that names them by the PROXY protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use gatepost_gateway::{
    Auth, GatewayLimits, GatewayOptions, ListenerOptions, NetworkRules, ProxyProtocol, RouteOptions,
};

use crate::fixture::{Fixture, read_response, route};
use crate::raw_requests::status_of;

/// Limit for a response, and for the end of a connection.
const DEADLINE: Duration = Duration::from_secs(20);
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;
const CLIENT: [u8; 4] = [192, 0, 2, 7];

/// A gateway that trusts loopback, and its listener of the PROXY protocol.
async fn start(limits: GatewayLimits) -> (Fixture, SocketAddr) {
    start_trusting("127.0.0.0/8", limits).await
}

async fn start_trusting(network: &str, limits: GatewayLimits) -> (Fixture, SocketAddr) {
    let refused = NetworkRules { allow: Vec::new(), deny: vec!["198.51.100.0/24".parse().unwrap()] };
    let fixture = Fixture::start_with(|options| GatewayOptions {
        limits,
        trusted_proxies: vec![network.parse().unwrap(), "203.0.113.0/24".parse().unwrap()],
        routes: vec![RouteOptions { networks: refused, ..route("/", Auth::Off) }],
        ..options
    })
    .await;
    let listener = ListenerOptions {
        name: "proxied".to_owned(),
        proxy_protocol: ProxyProtocol::Required,
        ..fixture.listeners[0].clone()
    };
    let address = fixture.reload_listeners(&[listener]).await.unwrap()[0];
    (fixture, address)
}

fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn ipv4(client: [u8; 4]) -> Vec<u8> {
    [client.as_slice(), &Ipv4Addr::LOCALHOST.octets(), &4321_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

fn ipv6(client: &str) -> Vec<u8> {
    let client: Ipv6Addr = client.parse().unwrap();
    let addresses = [client.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
    [addresses.as_slice(), &4321_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

/// Additional fields of a header.
fn fields(bytes: usize) -> Vec<u8> {
    let length = u16::try_from(bytes - 3).unwrap().to_be_bytes();
    [&[0xee], length.as_slice(), &vec![0xff; bytes - 3]].concat()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

const REQUEST: &[u8] = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_is_the_one_that_the_header_names() {
    let (fixture, address) = start(GatewayLimits::default()).await;
    let unix = [b"/run/client".as_slice(), &[0; 205]].concat();
    let longest =
        "PROXY TCP6 ffff:f8ff:ffff:ffff:ffff:ffff:ffff:ffff ffff:f8ff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4321 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4321 443\r\n".to_vec(), "192.0.2.7"),
        (longest.as_bytes().to_vec(), "ffff:f8ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (b"PROXY UNKNOWN 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(), "127.0.0.1"),
        (version_2(PROXY, 0x11, &ipv4(CLIENT)), "192.0.2.7"),
        (version_2(PROXY, 0x21, &ipv6("2001:db8::7")), "2001:db8::7"),
        (version_2(PROXY, 0x11, &[ipv4(CLIENT), fields(300)].concat()), "192.0.2.7"),
        (version_2(PROXY, 0x11, &[ipv4(CLIENT), fields(4096 - 16 - 12)].concat()), "192.0.2.7"),
        // What a proxy adds beside the addresses is ignored, whatever its form.
        (version_2(PROXY, 0x11, &[ipv4(CLIENT), vec![1, 0xff]].concat()), "192.0.2.7"),
        (version_2(PROXY, 0x00, b""), "127.0.0.1"),
        (version_2(PROXY, 0x31, &unix), "127.0.0.1"),
        (version_2(LOCAL, 0x00, b""), "127.0.0.1"),
        (version_2(LOCAL, 0x11, &ipv4(CLIENT)), "127.0.0.1"),
        (version_2(LOCAL, 0x11, b""), "127.0.0.1"),
        (version_2(LOCAL, 0xff, &fields(20)), "127.0.0.1"),
    ] {
        let mut whole = connect(address);
        whole.write_all(&[header.as_slice(), REQUEST].concat()).unwrap();
        let mut split = connect(address);
        let last = header.len().saturating_sub(1).min(400);
        for byte in &header[..last] {
            split.write_all(&[*byte]).unwrap();
        }
        split.write_all(&header[last..]).unwrap();
        split.write_all(REQUEST).unwrap();
        for mut stream in [whole, split] {
            assert_eq!(status_of(&read_response(&mut stream)), 200, "{}", header.escape_ascii());
            // The header is that of the connection, not of its first request.
            stream.write_all(REQUEST).unwrap();
            assert_eq!(status_of(&read_response(&mut stream)), 200, "{}", header.escape_ascii());
        }
        for request in fixture.origin.take_requests() {
            assert_eq!(request.header("x-forwarded-for"), [client], "{}", header.escape_ascii());
        }
    }
    assert_eq!(fixture.proxy_protocol_outcomes(), [("ok".to_owned(), 34)]);
}

fn malformed() -> Vec<Vec<u8>> {
    let too_long = version_2(PROXY, 0x11, &[ipv4(CLIENT), fields(4096 - 16 - 12 + 1)].concat());
    vec![
        REQUEST.to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PROXY /x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"\0".to_vec(),
        b"proxy TCP4 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b" PROXY TCP4 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY  TCP4 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY\tTCP4 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY TCP5 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.256 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 ::1 4321 443\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.7 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY TCP6 fe80::1%eth0 ::1 4321 443\r\n".to_vec(),
        b"PROXY TCP4 localhost 127.0.0.1 4321 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 65536 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 -1 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 04321 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4321\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4321 443 5\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4321 443\n".repeat(3),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4321 443\rX".to_vec(),
        b"PROXY UNKNOWN \xff\xff\r\n".to_vec(),
        b"PROXY ".repeat(20),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat(),
        version_2(0x11, 0x11, &ipv4(CLIENT)),
        version_2(0x22, 0x11, &ipv4(CLIENT)),
        version_2(0x31, 0x11, &ipv4(CLIENT)),
        version_2(PROXY, 0x12, &ipv4(CLIENT)),
        version_2(PROXY, 0x10, &ipv4(CLIENT)),
        version_2(PROXY, 0x41, &ipv4(CLIENT)),
        version_2(PROXY, 0x21, &ipv4(CLIENT)),
        version_2(PROXY, 0x11, &ipv4(CLIENT)[..11]),
        b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        too_long,
        version_2(LOCAL, 0x00, &vec![0; 65_535]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_else_is_closed_without_a_response_and_counted() {
    let (fixture, address) = start(GatewayLimits::default()).await;
    let malformed = malformed();
    for header in &malformed {
        let mut stream = connect(address);
        // The gateway may close before all of it is sent.
        let _ = stream.write_all(header).and_then(|()| stream.write_all(REQUEST));
        let mut received = Vec::new();
        // What was sent and not read makes it a reset.
        let _ = stream.read_to_end(&mut received);
        assert_eq!(received, b"", "{}", header.escape_ascii());
    }
    assert_eq!(fixture.origin.request_count(), 0);
    assert_eq!(fixture.proxy_protocol_outcomes(), [("malformed".to_owned(), malformed.len() as u64)]);

    // A beginning whose rest does not come is closed at the deadline, one whose client has gone at once.
    let mut silent = connect(address);
    silent.write_all(b"PROXY TCP4 192.0.2.7").unwrap();
    let gone = connect(address);
    (&gone).write_all(SIGNATURE).unwrap();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    for mut stream in [gone, silent] {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    let count = malformed.len() as u64;
    let outcomes = [("closed".to_owned(), 1), ("malformed".to_owned(), count), ("timeout".to_owned(), 1)];
    assert_eq!(fixture.proxy_protocol_outcomes(), outcomes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_no_trusted_proxy_is_refused() {
    let (fixture, address) = start_trusting("10.0.0.0/8", GatewayLimits::default()).await;
    for header in [b"PROXY TCP4 10.0.0.1 127.0.0.1 4321 443\r\n".as_slice(), b"PROXY UNKNOWN\r\n", b""] {
        let mut stream = connect(address);
        let _ = stream.write_all(&[header, REQUEST].concat());
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        assert_eq!(received, b"");
    }
    assert_eq!(fixture.origin.request_count(), 0);
    assert_eq!(fixture.proxy_protocol_outcomes(), [("untrusted".to_owned(), 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_named_client_has_the_limits_and_networks_of_a_client_and_may_be_a_trusted_proxy() {
    let limits = GatewayLimits { max_connections_per_address: 2, ..GatewayLimits::default() };
    let (fixture, address) = start(limits).await;
    let send = |client: &str, forwarded: &str| {
        let mut stream = connect(address);
        let header = format!("PROXY TCP4 {client} 127.0.0.1 4321 443\r\n");
        let request = format!("{header}GET /1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        let _ = stream.write_all(request.as_bytes());
        let response = read_response(&mut stream);
        (stream, response)
    };
    let forwarded_for = || fixture.origin.take_requests()[0].header("x-forwarded-for").join("|");
    let first = send("192.0.2.7", "198.51.100.1");
    assert_eq!(status_of(&first.1), 200);
    assert_eq!(forwarded_for(), "192.0.2.7", "what the client forwards is not believed");
    let second = send("192.0.2.7", "");
    assert_eq!(status_of(&second.1), 200);
    assert_eq!(send("192.0.2.7", "").1, "", "its third connection");
    assert_eq!(status_of(&send("192.0.2.8", "").1), 200, "another client");
    drop((first, second));
    fixture.origin.take_requests();

    assert_eq!(status_of(&send("198.51.100.9", "192.0.2.1").1), 403, "a network that the route denies");
    let behind_another: Vec<_> = (0..3).map(|_| send("203.0.113.5", "192.0.2.1")).collect();
    assert!(behind_another.iter().all(|(_, response)| status_of(response) == 200), "a trusted proxy has no cap");
    assert_eq!(forwarded_for(), "192.0.2.1, 203.0.113.5");
    assert_eq!(status_of(&send("203.0.113.5", "198.51.100.9").1), 403);
}

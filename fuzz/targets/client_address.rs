//! Fuzz target of the client's address behind trusted proxies. Lines of the input: the peer, the trusted networks
//! separated by spaces, and the values of `X-Forwarded-For`.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use gatepost_edge::client_ip::{is_trusted, resolve};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What a client may send to hide or change its address.
const FORGED: &[u8] = b"192.0.2.66, unknown \xff";

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let Ok(peer) = text().parse::<IpAddr>() else { return };
    let trusted: Vec<IpNet> = text().split(' ').filter_map(|text| text.parse().ok()).collect();
    let fields: Vec<&[u8]> = lines.filter(|line| HeaderValue::from_bytes(line).is_ok()).collect();
    check(peer, &trusted, &fields);
});

fn check(peer: IpAddr, trusted: &[IpNet], fields: &[&[u8]]) {
    let client = resolve(&headers(fields), Some(peer), trusted);
    assert_eq!(resolve(&headers(fields), None, trusted), None);
    let is_trusted = |address: &IpAddr| is_trusted(address, trusted);
    // The nearest first, like the proxies that the request came through.
    let forwarded = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
    let mut chain = std::iter::once(Some(peer)).chain(forwarded.map(address_of));
    let mut passed = chain.by_ref().map_while(|address| address.map(|address| address.to_canonical()));
    match client {
        Some(client) if is_trusted(&client) => {
            assert!(passed.all(|address| is_trusted(&address)), "{client} is a proxy, and not every address is");
            assert_eq!(chain.next(), None, "{client} was found beyond something that is no address");
        }
        Some(client) => {
            assert_eq!(passed.find(|address| !is_trusted(address)), Some(client));
            check_forgery(client, peer, trusted, fields);
        }
        None => assert!(passed.all(|address| is_trusted(&address)), "an address before a bad one was ignored"),
    }
}

/// What a client sends stands before what its proxy adds, as a field of its own or in the same field.
fn check_forgery(client: IpAddr, peer: IpAddr, trusted: &[IpNet], fields: &[&[u8]]) {
    let separate = [&[FORGED], fields].concat();
    assert_eq!(resolve(&headers(&separate), Some(peer), trusted), Some(client), "a client can forge its address");
    if let Some((first, rest)) = fields.split_first() {
        let joined = [FORGED, b",", first].concat();
        let joined = [&[joined.as_slice()], rest].concat();
        assert_eq!(resolve(&headers(&joined), Some(peer), trusted), Some(client), "a client can forge its address");
    }
}

fn headers(fields: &[&[u8]]) -> HeaderMap {
    let value = |field: &&[u8]| HeaderValue::from_bytes(field).expect("the caller has checked it");
    fields.iter().map(|field| (HeaderName::from_static(FORWARDED_FOR), value(field))).collect()
}

/// Every form in which proxies write an address. A zone (`%1`) means something on the proxy's machine only.
fn address_of(part: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(part.trim_ascii()).ok().filter(|text| !text.contains('%'))?;
    let bare = text.parse().ok();
    let with_port = |text: &str| text.parse().ok().map(|address: SocketAddr| address.ip());
    bare.or_else(|| with_port(text)).or_else(|| with_port(&format!("{text}:1")))
}

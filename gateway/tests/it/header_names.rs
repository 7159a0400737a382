//! Header names that a server could read as one of ours, in every spelling.

use gatepost_gateway::{GatewayLimits, GatewayOptions, PassHeader, StripMode};
use gatepost_test_support::RecordedRequest;

use crate::fixture::Fixture;
use crate::raw_requests::status_of;

/// Characters that a name may have and that CGI, FastCGI and PHP read as `_`.
const UNDERSCORE_EQUIVALENTS: &[char] = &['-', '_', '.', '!', '#', '$', '%', '&', '\'', '*', '+', '^', '`', '|', '~'];
/// Fields of one request: with its other fields it stays below the limit.
const MAX_FIELDS: usize = 90;
/// A value that must not reach the upstream.
const FORGED: &str = "forged";

/// Names that only the gateway itself may use.
const GATEWAY_HEADERS: &[&str] =
    &["x-gatepost-key-id", "x-gatepost-env", "x-gatepost-custom-user-id", "x-gatepost-anything", "x-request-id"];

/// Names by which HTTP frames and routes messages, if a server normalizes them. With `-` the proxy engine handles
/// them.
const FRAMING_HEADERS: &[&str] = &["content-length", "transfer-encoding", "proxy-authorization"];

/// Headers of the route's credential.
const CREDENTIAL_HEADERS: &[&str] = &["x-api-key"];

/// Where a request came from.
const ADDRESS_HEADERS: &[&str] = &[
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
];

/// Headers that some servers read as the method, the path or the host.
const ROUTING_HEADERS: &[&str] = &[
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-rewrite-uri",
    "x-original-method",
    "x-original-host",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-http-path-override",
    "x-envoy-original-path",
    "x-middleware-subrequest",
    "unencoded-url",
    "proxy",
];

/// Identities from a proxy.
const IDENTITY_HEADERS: &[&str] = &[
    "remote-user",
    "remote-groups",
    "remote-email",
    "remote-name",
    "x-remote-user",
    "x-remote-addr",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-auth-request-user",
    "x-authentik-username",
    "x-webauth-user",
    "ssl-client-cert",
    "ssl-client-s-dn",
    "x-ssl-client-verify",
    "x-consumer-id",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-amzn-oidc-data",
    "x-goog-authenticated-user-email",
    "x-ms-client-principal",
    "x-ms-client-principal-name",
    "cf-access-jwt-assertion",
    "tailscale-user-login",
];

/// Names that pass: those of the client, and near misses of ours.
const UNRELATED_HEADERS: &[&str] = &[
    "x-amz-meta-a.b",
    "x_custom",
    "keep_alive",
    "proxy_connection",
    "x!y",
    "x.y~z",
    "x-gatepost",
    "x-gatepostkey-id",
    "xgatepost-env",
    "x-gate-post-env",
    "x-real-ips",
    "x-real-i",
    "x-realip",
    "remote-users",
    "remote",
    "x-remote",
    "x-request-id-2",
    "x-hosts",
    "proxies",
    "client-ips",
    "my-x-forwarded-for",
    "x-forwarded",
    "ssl-clients",
    "x-consumers-id",
    "unencoded-urls",
    "x-api-keys",
    "api-key",
    "baggage",
    "x-b3-traceid",
    "x-correlation-id",
    "cf-ray",
    "xx",
    "x",
    "_",
    "user-agent",
];

/// Returns the other spellings that normalize to a name.
fn spellings(name: &str) -> Vec<String> {
    let others = UNDERSCORE_EQUIVALENTS.iter().skip(1).map(|other| name.replace('-', &other.to_string()));
    let mixed = name.replacen('-', ".", 1);
    let mut all: Vec<String> = others.chain([mixed.to_uppercase(), mixed]).filter(|other| other != name).collect();
    all.sort();
    all.dedup();
    // A name without `-` has no other spelling.
    all.retain(|spelling| !spelling.eq_ignore_ascii_case(name));
    all
}

fn all_spellings(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| spellings(name)).collect()
}

fn own_spellings(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]).collect()
}

/// Returns what the upstream saw of requests with these names, on routes of every kind.
fn upstream_requests(fixture: &Fixture, names: &[String]) -> Vec<RecordedRequest> {
    let mut seen = Vec::new();
    for fields in names.chunks(MAX_FIELDS) {
        let fields: String = fields.iter().map(|name| format!("{name}: {FORGED}\r\n")).collect();
        for (path, credential) in [("/", fixture.key.as_str()), ("/open", ""), ("/maybe", "")] {
            let credential = if credential.is_empty() { String::new() } else { format!("apikey: {credential}\r\n") };
            let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{credential}{fields}\r\n");
            assert_eq!(status_of(&fixture.send(text.as_bytes())), 200, "{text}");
            seen.extend(fixture.origin.take_requests());
        }
    }
    assert_eq!(seen.len(), names.len().div_ceil(MAX_FIELDS) * 3);
    seen
}

#[track_caller]
fn check_all_removed(fixture: &Fixture, names: &[String]) {
    for request in upstream_requests(fixture, names) {
        let passed: Vec<&str> = request.head.lines().filter(|line| line.contains(FORGED)).collect();
        assert_eq!(passed, Vec::<&str>::new());
    }
}

#[track_caller]
fn check_all_forwarded(fixture: &Fixture, names: &[String]) {
    let mut passed: Vec<String> = Vec::new();
    for request in upstream_requests(fixture, names) {
        let forged =
            request.head.lines().filter_map(|line| line.split_once(": ")).filter(|(_, value)| *value == FORGED);
        passed.extend(forged.map(|(name, _)| name.to_owned()));
    }
    for name in names {
        let count = passed.iter().filter(|passed| passed.eq_ignore_ascii_case(name)).count();
        assert_eq!(count, 3, "{name} on three routes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_stripped_header_is_forwarded() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    for names in [GATEWAY_HEADERS, ADDRESS_HEADERS, ROUTING_HEADERS, IDENTITY_HEADERS] {
        check_all_removed(&fixture, &own_spellings(names));
    }
    for names in
        [GATEWAY_HEADERS, ADDRESS_HEADERS, ROUTING_HEADERS, IDENTITY_HEADERS, FRAMING_HEADERS, CREDENTIAL_HEADERS]
    {
        check_all_removed(&fixture, &all_spellings(names));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxy_headers_are_forwarded_by_exact_name_only() {
    let fixture = Fixture::start(GatewayLimits::default(), &["127.0.0.0/8"]).await;
    for names in [GATEWAY_HEADERS, ROUTING_HEADERS, IDENTITY_HEADERS] {
        check_all_removed(&fixture, &own_spellings(names));
    }
    for names in
        [GATEWAY_HEADERS, ADDRESS_HEADERS, ROUTING_HEADERS, IDENTITY_HEADERS, FRAMING_HEADERS, CREDENTIAL_HEADERS]
    {
        check_all_removed(&fixture, &all_spellings(names));
    }
    let forwarded: Vec<String> =
        ADDRESS_HEADERS.iter().filter(|name| **name != "x-forwarded-for").map(|name| (*name).to_owned()).collect();
    check_all_forwarded(&fixture, &forwarded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unrelated_headers_are_forwarded_unchanged() {
    for trusted in [&[][..], &["127.0.0.0/8"]] {
        let fixture = Fixture::start(GatewayLimits::default(), trusted).await;
        check_all_forwarded(&fixture, &UNRELATED_HEADERS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credential_is_read_from_its_exact_header_name_only() {
    let fixture = Fixture::start(GatewayLimits::default(), &["127.0.0.0/8"]).await;
    for name in all_spellings(CREDENTIAL_HEADERS) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: {}\r\n\r\n", fixture.key);
        assert_eq!(status_of(&fixture.send(text.as_bytes())), 401, "{name}");
    }
    assert_eq!(fixture.origin.take_requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_and_connection_options_do_not_change_upstream_headers() {
    let fixture = Fixture::start(GatewayLimits::default(), &[]).await;
    for name in [
        own_spellings(GATEWAY_HEADERS),
        all_spellings(GATEWAY_HEADERS),
        own_spellings(IDENTITY_HEADERS),
        all_spellings(ADDRESS_HEADERS),
    ]
    .concat()
    {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n", fixture.key);
        let trailer =
            format!("Trailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{name}: forged\r\n\r\n");
        let nomination = format!("Connection: close, {name}\r\nContent-Length: 1\r\n\r\na");
        for rest in [trailer, nomination] {
            let response = fixture.send(format!("{head}{rest}").as_bytes());
            assert_eq!(status_of(&response), 200, "{rest}");
            let seen = fixture.origin.take_requests();
            assert_eq!((seen.len(), seen[0].trailers.as_str(), seen[0].body.as_slice()), (1, "", &b"a"[..]), "{rest}");
            assert_eq!(seen[0].header("x-gatepost-key-id"), [fixture.key_id.as_str()], "{rest}");
            assert_eq!(seen[0].header("x-request-id").len(), 1, "{rest}");
            assert!(!seen[0].head.contains(FORGED) && seen[0].header("connection").is_empty(), "{}", seen[0].head);
            assert!(seen[0].header("trailer").is_empty(), "{}", seen[0].head);
        }
    }
}

/// Names that `strip = "ours"` removes in addition to those of the gateway.
const ALWAYS_STRIPPED: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-ssl",
    "x-forwarded-anything",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strip_ours_removes_only_the_original_headers() {
    let fixture = Fixture::start_with(|options| GatewayOptions { strip: StripMode::Ours, ..options }).await;
    for names in [GATEWAY_HEADERS, ALWAYS_STRIPPED] {
        check_all_removed(&fixture, &own_spellings(names));
    }
    for names in [GATEWAY_HEADERS, ALWAYS_STRIPPED, FRAMING_HEADERS, CREDENTIAL_HEADERS] {
        check_all_removed(&fixture, &all_spellings(names));
    }
    let is_free = |name: &&&str| !ALWAYS_STRIPPED.contains(name) && !name.starts_with("x-forwarded-");
    let forwarded = [ADDRESS_HEADERS, ROUTING_HEADERS, IDENTITY_HEADERS].concat();
    check_all_forwarded(&fixture, &forwarded.iter().filter(is_free).map(|name| (*name).to_owned()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pass_headers_are_forwarded_from_trusted_peers_only() {
    let passed: Vec<String> =
        ["remote-user", "x-forwarded-user", "x-auth-request-user", "x-auth-request-email"].map(str::to_owned).to_vec();
    let pass_headers: Vec<PassHeader> =
        ["Remote-User", "x-forwarded-user", "x-auth-request-*"].map(|name| PassHeader::parse(name).unwrap()).to_vec();
    for (trusted, is_passed) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let trusted_proxies = vec![trusted.parse().unwrap()];
        let pass_headers = pass_headers.clone();
        let configure = |options| GatewayOptions { trusted_proxies, pass_headers, ..options };
        let fixture = Fixture::start_with(configure).await;
        let names: Vec<&str> = passed.iter().map(String::as_str).collect();
        check_all_removed(&fixture, &all_spellings(&names));
        check_all_removed(&fixture, &own_spellings(&["remote-groups", "x-forwarded-email", "x-consumer-id"]));
        if is_passed {
            check_all_forwarded(&fixture, &passed);
        } else {
            check_all_removed(&fixture, &passed);
        }
    }
}

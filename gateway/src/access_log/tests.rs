//! Tests of the lines of the access log.

use super::*;
use serde_json::{Value, json};

fn line() -> AccessLogLine<'static> {
    AccessLogLine {
        timestamp: Timestamp::parse("2026-11-23T10:00:00.042Z").unwrap(),
        request_id: "req_1",
        trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
        client: Some("2001:db8::1"),
        protocol: Some("HTTP/1.1"),
        method: "GET",
        path: "/v1/items/42",
        route: "/",
        status: 200,
        outcome: "permitted",
        reason: "closed",
        key_id: Some("key_1"),
        project_id: Some("p1"),
        source: Some("cache"),
        upstream: Some("127.0.0.1:3000"),
        tls_version: Some("1.3"),
        sni: Some("api.example.com"),
        bytes_received: 7,
        bytes_sent: 5,
        duration_us: 300,
        upstream_us: Some(200),
    }
}

#[track_caller]
fn render_json(text: &mut LineBuffer, line: &AccessLogLine<'_>) -> Value {
    let bytes = text.render(line);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_line_is_an_object_with_all_that_is_known() {
    let mut text = LineBuffer::default();
    let whole = json!({
        "timestamp": "2026-11-23T10:00:00.042Z", "level": "INFO", "request_id": "req_1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "client": "2001:db8::1", "protocol": "HTTP/1.1",
        "method": "GET", "path": "/v1/items/42", "route": "/", "status": 200, "outcome": "permitted",
        "reason": "closed", "key_id": "key_1", "project_id": "p1", "source": "cache", "upstream": "127.0.0.1:3000",
        "tls_version": "1.3", "sni": "api.example.com", "bytes_received": 7, "bytes_sent": 5, "duration_us": 300,
        "upstream_us": 200, "target": "gatepost::access",
    });
    assert_eq!(render_json(&mut text, &line()), whole);
    let nothing = AccessLogLine {
        trace_id: None,
        client: None,
        protocol: None,
        key_id: None,
        project_id: None,
        source: None,
        upstream: None,
        tls_version: None,
        sni: None,
        upstream_us: None,
        path: "",
        route: "",
        reason: "",
        ..line()
    };
    let rendered = render_json(&mut text, &nothing);
    let absent = ["trace_id", "client", "protocol", "key_id", "project_id", "source", "upstream", "tls_version", "sni"];
    assert_eq!(absent.map(|name| rendered.get(name)), [None; 9]);
    assert_eq!(["path", "route", "reason", "upstream_us"].map(|name| rendered.get(name)), [None; 4]);
    assert_eq!(rendered["duration_us"], 300);
}

#[test]
fn a_line_for_people_names_the_key_or_why_the_request_failed() {
    let text = |line: AccessLogLine<'_>| line.render_text(Colours::Off);
    let served = || AccessLogLine { reason: "", ..line() };
    assert_eq!(text(served()), "10:00:00.042Z 200 GET /v1/items/42 300µs key_1\n");
    let rejected = AccessLogLine { status: 401, reason: "unknown-key", key_id: None, ..line() };
    assert_eq!(text(rejected), "10:00:00.042Z 401 GET /v1/items/42 300µs unknown-key\n");
    let long = "/é".repeat(50);
    let expected = format!("10:00:00.042Z 200 GET {}… 300µs key_1\n", "/é".repeat(40));
    assert_eq!(text(AccessLogLine { path: &long, ..served() }), expected);
}

#[test]
fn client_text_is_escaped() {
    let mut text = LineBuffer::default();
    let untrusted = "a\"b\\c\n";
    let rendered =
        render_json(&mut text, &AccessLogLine { method: untrusted, path: untrusted, route: untrusted, ..line() });
    assert_eq!(["method", "path", "route"].map(|name| rendered[name].as_str()), [Some(untrusted); 3]);
}

#[test]
fn timestamp_is_formatted_as_elsewhere() {
    let mut text = LineBuffer::default();
    for ms in [0, 1, 999, 1000, 1_764_000_000_123, 1_764_000_000_999, 1_764_000_001_000, 253_402_300_799_999] {
        let timestamp = Timestamp::from_ms(ms);
        assert_eq!(render_json(&mut text, &AccessLogLine { timestamp, ..line() })["timestamp"], timestamp.to_string());
    }
}

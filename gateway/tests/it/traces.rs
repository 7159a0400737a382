//! Traces: which headers of W3C Trace Context the upstream sees.

use std::io::Write;

use gatepost_gateway::{GatewayOptions, IncomingTrace, TraceOptions};
use gatepost_test_support::{AfterReply, MockServer, RecordedRequest, Reply};

use crate::fixture::{Fixture, read_response};
use crate::raw_requests::status_of;
use crate::request_line::{connect, get};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";
const DEFAULT: Option<TraceOptions> = Some(TraceOptions { incoming: IncomingTrace::Continue, sample_percent: 0 });

/// What the upstream got of a trace.
#[derive(Debug, PartialEq, Eq)]
struct SeenTrace {
    is_continued: bool,
    flags: String,
    tracestate: Vec<String>,
}

async fn fixture(trace: Option<TraceOptions>, trusted_proxies: &[&str]) -> Fixture {
    let trusted_proxies = trusted_proxies.iter().map(|network| network.parse().unwrap()).collect();
    Fixture::start_with(|options| GatewayOptions { trace, trusted_proxies, ..options }).await
}

/// Returns the request that the upstream saw of one with these fields.
fn forward(fixture: &Fixture, fields: &str) -> RecordedRequest {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\napikey: {}\r\n{fields}\r\n", fixture.key);
    assert_eq!(status_of(&fixture.send(request.as_bytes())), 200, "{fields}");
    fixture.origin.take_requests().pop().unwrap()
}

/// Returns the trace that the upstream saw, and checks its form.
#[track_caller]
fn seen_trace(request: &RecordedRequest) -> SeenTrace {
    let [value] = request.header("traceparent")[..] else { panic!("{}", request.head) };
    let fields: Vec<&str> = value.split('-').collect();
    let [version, trace_id, parent_id, flags] = fields[..] else { panic!("{value}") };
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(version == "00" && fields.iter().all(|field| is_hex(field)), "{value}");
    assert_eq!((trace_id.len(), parent_id.len(), flags.len()), (32, 16, 2), "{value}");
    let zeros = ["0".repeat(32), "0".repeat(16)];
    assert!(trace_id != zeros[0] && parent_id != zeros[1] && parent_id != PARENT_ID, "{value}");
    let tracestate = request.header("tracestate").into_iter().map(str::to_owned).collect();
    SeenTrace { is_continued: trace_id == TRACE_ID, flags: flags.to_owned(), tracestate }
}

fn traceparent(value: &str) -> String {
    format!("traceparent: {}\r\n", value.replace("TRACE", TRACE_ID).replace("PARENT", PARENT_ID))
}

#[track_caller]
fn check(fixture: &Fixture, fields: &str, is_continued: bool, flags: &str, tracestate: &[&str]) {
    let tracestate = tracestate.iter().map(|value| (*value).to_owned()).collect();
    let expected = SeenTrace { is_continued, flags: flags.to_owned(), tracestate };
    assert_eq!(seen_trace(&forward(fixture, fields)), expected, "{fields}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_trace_is_continued_and_any_other_is_replaced_with_its_state() {
    let fixture = fixture(DEFAULT, &[]).await;
    let state = "tracestate: a=1\r\n";
    for value in ["00-TRACE-PARENT-00", "00-TRACE-PARENT-0a", "01-TRACE-PARENT-00", "fe-TRACE-PARENT-00-more"] {
        check(&fixture, &format!("{}{state}", traceparent(value)), true, "00", &["a=1"]);
    }
    let valid = traceparent("00-TRACE-PARENT-00");
    let zero_ids = [format!("00-{}-PARENT-00", "0".repeat(32)), format!("00-TRACE-{}-00", "0".repeat(16))];
    let invalid = [
        "",
        "x",
        "00-TRACE-PARENT",
        "00-TRACE-PARENT-0",
        "00-TRACE-PARENT-00-more",
        "00-TRACE-PARENT-00, 00-TRACE-PARENT-00",
        "00-TRACE-PARENT-0g",
        "ff-TRACE-PARENT-00",
        "01-TRACE-PARENT-00more",
        "00_TRACE_PARENT_00",
        "00-0AF7651916CD43DD8448EB211C80319C-PARENT-00",
    ];
    let invalid = invalid.into_iter().chain(zero_ids.iter().map(String::as_str)).map(traceparent);
    let twice = format!("{valid}{valid}");
    for fields in invalid.chain([String::new(), twice, format!("{valid}traceparent: x\r\n")]) {
        check(&fixture, &format!("{fields}{state}"), false, "00", &[]);
    }
    check(&fixture, &valid.replace("traceparent", "TraceParent"), true, "00", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sampled_flag_is_used_only_from_trusted_proxies() {
    let sampled = traceparent("00-TRACE-PARENT-01");
    for (trusted, flags) in [(&["127.0.0.0/8"][..], "01"), (&["10.0.0.0/8"], "00"), (&[], "00")] {
        let fixture = fixture(DEFAULT, trusted).await;
        check(&fixture, &sampled, true, flags, &[]);
        check(&fixture, &traceparent("00-TRACE-PARENT-ff"), true, flags, &[]);
        check(&fixture, &traceparent("00-TRACE-PARENT-00"), true, "00", &[]);
        check(&fixture, "", false, "00", &[]);
    }
    let all = Some(TraceOptions { incoming: IncomingTrace::Continue, sample_percent: 100 });
    for (trusted, flags) in [(&["127.0.0.0/8"][..], "00"), (&[], "01")] {
        let fixture = fixture(all, trusted).await;
        check(&fixture, &traceparent("00-TRACE-PARENT-00"), true, flags, &[]);
        check(&fixture, "", false, "01", &[]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_starts_a_trace_if_configured() {
    let restart = Some(TraceOptions { incoming: IncomingTrace::Restart, sample_percent: 0 });
    let fixture = fixture(restart, &["127.0.0.0/8"]).await;
    let fields = format!("{}tracestate: a=1\r\nbaggage: b=1\r\n", traceparent("00-TRACE-PARENT-01"));
    check(&fixture, &fields, false, "00", &[]);
    assert_eq!(forward(&fixture, &fields).header("baggage"), ["b=1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracestate_passes_up_to_512_bytes_and_baggage_always() {
    let fixture = fixture(DEFAULT, &[]).await;
    let valid = traceparent("00-TRACE-PARENT-00");
    let value = |length: usize| format!("a={}", "x".repeat(length - 2));
    let field = |length: usize| format!("tracestate: {}\r\n", value(length));
    check(&fixture, &format!("{valid}{}", field(512)), true, "00", &[&value(512)]);
    check(&fixture, &format!("{valid}{}", field(513)), true, "00", &[]);
    // Joined by a comma.
    check(&fixture, &format!("{valid}{}{}", field(256), field(255)), true, "00", &[&value(256), &value(255)]);
    check(&fixture, &format!("{valid}{}{}", field(256), field(256)), true, "00", &[]);
    for fields in [valid.as_str(), "", "traceparent: x\r\n"] {
        let seen = forward(&fixture, &format!("{fields}baggage: a=1;b\r\nbaggage: {}\r\n", value(2000)));
        assert_eq!(seen.header("baggage"), ["a=1;b", &value(2000)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_headers_pass_unchanged_if_propagation_is_off() {
    let fixture = fixture(None, &[]).await;
    for value in ["00-TRACE-PARENT-01", "x"] {
        let field = traceparent(value);
        let seen = forward(&fixture, &format!("{field}{field}tracestate: a=1\r\n"));
        assert_eq!(seen.header("traceparent"), [field["traceparent: ".len()..].trim(); 2]);
        assert_eq!(seen.header("tracestate"), ["a=1"]);
    }
    assert!(forward(&fixture, "").header("traceparent").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_try_of_a_request_has_the_same_trace() {
    // The second request gets no response on the connection of the first, and is sent again on another one.
    let origin = MockServer::with_script(|number| match number {
        1 => Reply::raw("", AfterReply::Close),
        _ => Reply { status: 200, ..Reply::default() },
    });
    let fixture = Fixture::start_with_origin(origin, |options| options).await;
    let mut stream = connect(&fixture);
    for _ in 0..2 {
        stream.write_all(get("/", &fixture).as_bytes()).unwrap();
        assert_eq!(status_of(&read_response(&mut stream)), 200);
    }
    let requests = fixture.origin.take_requests();
    let [first, second, again] = [0, 1, 2].map(|index| requests[index].header("traceparent"));
    assert!(first != second && second == again && requests.len() == 3, "{first:?}, {second:?}, {again:?}");
    fixture.await_upstream_tries(&[("closed", 1), ("response", 2)]).await;
}

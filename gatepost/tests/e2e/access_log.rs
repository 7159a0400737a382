//! Fields of the access log, and the traces that it names.

use std::io::{Read, Write};
use std::net::TcpStream;

use gatepost_test_support::{MockServer, RecordedRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::Admin;
use crate::process::Gatepost;
use crate::single_process::read_first_access_key;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// A gateway in front of a recording upstream.
struct Fixture {
    origin: MockServer,
    gatepost: Gatepost,
    key: String,
    /// Removed at the end.
    _directory: TempDir,
}

impl Fixture {
    async fn start(environment: &[(&str, &str)]) -> Self {
        let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
        let arguments = ["up", "--upstream", &origin.url()];
        let gatepost = Gatepost::start_with(directory.path(), &arguments, environment).await;
        let admin = Admin::new(gatepost.admin.unwrap(), &read_first_access_key(directory.path()));
        let (key, _) = admin.create_api_key(&admin.create_project().await).await;
        Self { origin, gatepost, key, _directory: directory }
    }

    /// Sends a request whose connection ends with it.
    fn send(&self, line: &str, rest: &str) {
        let mut stream = TcpStream::connect(self.gatepost.gateway.unwrap()).unwrap();
        let head = format!("{line}\r\nHost: a\r\nConnection: close\r\nX-API-Key: {}\r\n", self.key);
        stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    /// Stops the gateway, and returns what the upstream saw and the lines of the access log.
    fn stop(mut self) -> (Vec<RecordedRequest>, Vec<Value>) {
        assert_eq!(self.gatepost.terminate(), Some(0));
        let lines = self.gatepost.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let lines = lines.filter(|line| line["target"] == "gatepost::access").collect();
        (self.origin.take_requests(), lines)
    }
}

/// Returns the id of the trace that the upstream saw.
fn trace_id(request: &RecordedRequest) -> &str {
    request.header("traceparent")[0].split('-').nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_has_protocol_sizes_and_the_time_of_the_upstream_if_one_was_asked() {
    let fixture = Fixture::start(&[]).await;
    fixture.send("GET /a HTTP/1.1", "\r\n");
    fixture.send("GET /a HTTP/1.0", "\r\n");
    fixture.send("POST /a HTTP/1.1", "Content-Length: 5\r\n\r\nhello");
    fixture.send("POST /a HTTP/1.1", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    fixture.send("GET /a HTTP/1.1", "X-API-Key: another\r\n\r\n");
    let (_, lines) = fixture.stop();
    let seen: Vec<Value> = lines
        .iter()
        .map(|line| {
            let upstream_us = line["upstream_us"].as_u64();
            assert!(upstream_us.unwrap_or(0) <= line["duration_us"].as_u64().unwrap(), "{line}");
            json!([line["status"], line["protocol"], line["bytes_received"], upstream_us.is_some()])
        })
        .collect();
    let expected = [
        json!([200, "HTTP/1.1", 0, true]),
        json!([200, "HTTP/1.0", 0, true]),
        json!([200, "HTTP/1.1", 5, true]),
        json!([200, "HTTP/1.1", 6, true]),
        json!([401, "HTTP/1.1", 0, false]),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_the_trace_that_the_upstream_sees() {
    let fixture = Fixture::start(&[]).await;
    let valid = format!("traceparent: 00-{TRACE_ID}-b7ad6b7169203331-01\r\n");
    let invalid = valid.replace("00-0af", "ff-0af");
    for fields in [valid.clone(), invalid, format!("{valid}{valid}"), String::new()] {
        fixture.send("GET /a HTTP/1.1", &format!("{fields}\r\n"));
    }
    fixture.send("GET /a HTTP/1.1", &format!("X-API-Key: another\r\n{valid}\r\n"));
    let (requests, lines) = fixture.stop();
    let logged: Vec<&str> = lines.iter().map(|line| line["trace_id"].as_str().unwrap()).collect();
    let mut seen: Vec<&str> = requests.iter().map(trace_id).collect();
    // A rejected request never reaches the upstream, and belongs to the trace all the same.
    seen.push(TRACE_ID);
    assert_eq!(logged, seen);
    let is_continued: Vec<bool> = logged.iter().map(|id| *id == TRACE_ID).collect();
    assert_eq!(is_continued, [true, false, false, false, true]);
    assert_eq!(requests[0].header("traceparent")[0].rsplit('-').next(), Some("00"), "the client is not trusted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_follow_the_configuration() {
    let trusted = ("GATEPOST_GATEWAY__TRUSTED_PROXIES", "127.0.0.0/8");
    let sampled = format!("traceparent: 00-{TRACE_ID}-b7ad6b7169203331-01\r\n\r\n");
    for (setting, continued, flags) in [
        (("GATEPOST_GATEWAY__TRACE__INCOMING", "continue"), true, "01"),
        (("GATEPOST_GATEWAY__TRACE__INCOMING", "restart"), false, "00"),
        (("GATEPOST_GATEWAY__TRACE__PROPAGATE", "false"), true, "01"),
    ] {
        let fixture = Fixture::start(&[trusted, setting]).await;
        fixture.send("GET /a HTTP/1.1", &sampled);
        let (requests, lines) = fixture.stop();
        let traceparent = requests[0].header("traceparent")[0];
        assert_eq!((trace_id(&requests[0]) == TRACE_ID, &traceparent[53..]), (continued, flags), "{setting:?}");
        let is_unchanged = traceparent.contains("b7ad6b7169203331");
        assert_eq!(is_unchanged, lines[0].get("trace_id").is_none(), "{setting:?}: {}", lines[0]);
        assert_eq!(is_unchanged, setting.1 == "false");
    }
}

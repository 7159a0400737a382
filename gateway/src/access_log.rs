//! Access log: one line for each request, of JSON or for people. It names the key by its id, and never contains a credential.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;

use gatepost_domain::header_name::NormalizedHeaderName;
use gatepost_domain::key::{KeyFormat, MIN_KEY_BYTES, key_format};
use gatepost_domain::log_text::{Colours, LogFormat, LogText, LoggedRequest};
use gatepost_domain::redact::{MASK, redact_cow};
use gatepost_domain::time::Timestamp;
use gatepost_edge::credential;
use gatepost_runtime::LogWriter;
use http::{HeaderMap, Version};
use memchr::memmem;
use percent_encoding::percent_decode_str;
use pingora::http::RequestHeader;

use crate::context::Context;
use crate::trace::Trace;

/// Target by which `log.filter` turns these lines off.
const LOG_TARGET: &str = "gatepost::access";
/// Length of `2026-11-23T10:00:00`.
const SECOND_BYTES: usize = 19;
const MS_PER_SECOND: u64 = 1000;
/// Maximum number of characters of a path in a line for people.
const MAX_PATH_CHARS: usize = 80;

thread_local! {
    /// Shared by the lines of a thread, which renders one at a time.
    static LINE_BUFFER: RefCell<LineBuffer> = RefCell::new(LineBuffer::default());
}

/// Parts of a line that the context does not have.
#[derive(Debug)]
pub(crate) struct EndedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    pub(crate) protocol: Option<&'static str>,
    pub(crate) bytes_received: usize,
    pub(crate) bytes_sent: usize,
    pub(crate) duration: Duration,
    /// None if no upstream was asked.
    pub(crate) upstream_duration: Option<Duration>,
}

/// A line, in the shape of all other log lines.
#[derive(Debug)]
pub(crate) struct AccessLogLine<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) request_id: &'a str,
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) protocol: Option<&'static str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) project_id: Option<&'a str>,
    pub(crate) source: Option<&'static str>,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) tls_version: Option<&'static str>,
    /// Name that a client asked for by TLS: a DNS name, so it needs no escape.
    pub(crate) sni: Option<&'a str>,
    pub(crate) bytes_received: usize,
    pub(crate) bytes_sent: usize,
    pub(crate) duration_us: u64,
    pub(crate) upstream_us: Option<u64>,
}

/// Buffer of a line, with the last second as text: most lines share it with the line before.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    second: u64,
    formatted_second: String,
}

impl<'a> AccessLogLine<'a> {
    /// Returns the line of a request that has ended.
    pub(crate) fn new(context: &'a Context, ended: EndedRequest<'a>, now: Timestamp) -> Self {
        let check = context.key_check();
        let facts = check.and_then(|check| check.facts.as_deref());
        Self {
            timestamp: now,
            request_id: context.request_id.as_str(),
            trace_id: context.trace.as_ref().map(Trace::id),
            client: context.peer_ip.as_ref().map(|client| client.as_str()),
            protocol: ended.protocol,
            method: ended.method,
            path: ended.path,
            route: context.route().map_or("", |route| route.name.as_str()),
            status: ended.status,
            outcome: context.outcome().label(),
            reason: ended.reason,
            key_id: facts.map(|facts| facts.key.as_str()),
            project_id: facts.map(|facts| facts.project.as_str()),
            source: check.and_then(|check| check.source).map(|source| source.as_str()),
            upstream: context.server.as_ref().map(|server| server.address_text.as_str()),
            tls_version: context.tls.as_ref().map(|tls| tls.version),
            sni: context.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
            bytes_received: ended.bytes_received,
            bytes_sent: ended.bytes_sent,
            duration_us: as_us(ended.duration),
            upstream_us: ended.upstream_duration.map(as_us),
        }
    }

    pub(crate) fn write(&self, writer: &LogWriter, format: LogFormat) {
        match format {
            LogFormat::Json => LINE_BUFFER.with_borrow_mut(|text| writer.push(text.render(self))),
            LogFormat::Text(colours) => writer.push(self.render_text(colours).as_bytes()),
        }
    }

    /// Renders the line for people: with the key, or why the request failed.
    fn render_text(&self, colours: Colours) -> String {
        let path = match self.path.char_indices().nth(MAX_PATH_CHARS) {
            Some((end, _)) => Cow::Owned(format!("{}…", &self.path[..end])),
            None => Cow::Borrowed(self.path),
        };
        LogText::new(self.timestamp, colours).request(&LoggedRequest {
            status: self.status,
            method: self.method,
            path: &path,
            duration_us: self.duration_us,
            note: if self.reason.is_empty() { self.key_id.unwrap_or_default() } else { self.reason },
        })
    }

    /// Renders the line without writing it, and returns its length in bytes.
    #[cfg(feature = "bench-support")]
    pub(crate) fn render_len(&self) -> usize {
        LINE_BUFFER.with_borrow_mut(|text| text.render(self).len())
    }
}

impl LineBuffer {
    /// Renders by hand: most of a line needs no escape, which no JSON library knows.
    fn render(&mut self, line: &AccessLogLine<'_>) -> &[u8] {
        self.bytes.clear();
        self.push_timestamp(line.timestamp);
        self.push_unescaped("\",\"level\":\"INFO\",\"request_id\":\"", Some(line.request_id));
        self.push_unescaped("\",\"trace_id\":\"", line.trace_id);
        self.push_unescaped("\",\"client\":\"", line.client);
        self.push_unescaped("\",\"protocol\":\"", line.protocol);
        self.bytes.push(b'"');
        self.push_escaped(",\"method\":", line.method);
        self.push_escaped(",\"path\":", line.path);
        self.push_escaped(",\"route\":", line.route);
        self.push_number(",\"status\":", line.status.into());
        self.push_unescaped(",\"outcome\":\"", Some(line.outcome));
        self.push_unescaped("\",\"reason\":\"", Some(line.reason).filter(|reason| !reason.is_empty()));
        self.push_unescaped("\",\"key_id\":\"", line.key_id);
        self.push_unescaped("\",\"project_id\":\"", line.project_id);
        self.push_unescaped("\",\"source\":\"", line.source);
        self.push_unescaped("\",\"upstream\":\"", line.upstream);
        self.push_unescaped("\",\"tls_version\":\"", line.tls_version);
        self.push_unescaped("\",\"sni\":\"", line.sni);
        self.push_number("\",\"bytes_received\":", line.bytes_received as u64);
        self.push_number(",\"bytes_sent\":", line.bytes_sent as u64);
        self.push_number(",\"duration_us\":", line.duration_us);
        if let Some(upstream_us) = line.upstream_us {
            self.push_number(",\"upstream_us\":", upstream_us);
        }
        self.push_unescaped(",\"target\":\"", Some(LOG_TARGET));
        self.bytes.extend_from_slice(b"\"}\n");
        &self.bytes
    }

    /// Renders a time as [`Timestamp`] prints it.
    fn push_timestamp(&mut self, timestamp: Timestamp) {
        let second = timestamp.as_ms() / MS_PER_SECOND;
        if second != self.second || self.formatted_second.is_empty() {
            self.formatted_second = timestamp.to_string();
            self.formatted_second.truncate(SECOND_BYTES);
            self.second = second;
        }
        self.bytes.extend_from_slice(b"{\"timestamp\":\"");
        self.bytes.extend_from_slice(self.formatted_second.as_bytes());
        let ms = (timestamp.as_ms() % MS_PER_SECOND) as u16;
        let digit = |number: u16| b'0' + (number % 10) as u8;
        self.bytes.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms), b'Z']);
    }

    /// Appends a value that needs no escape. `before` closes the member before it.
    fn push_unescaped(&mut self, before: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.bytes.extend_from_slice(before.as_bytes());
            self.bytes.extend_from_slice(text.as_bytes());
        }
    }

    /// Appends a value from outside, if there is one.
    fn push_escaped(&mut self, before: &'static str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(before.as_bytes());
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.bytes, text);
    }

    fn push_number(&mut self, before: &'static str, number: u64) {
        self.bytes.extend_from_slice(before.as_bytes());
        let _ = serde_json::to_writer(&mut self.bytes, &number);
    }
}

/// Returns whether the log filter lets these lines through.
pub(crate) fn is_enabled() -> bool {
    tracing::enabled!(target: LOG_TARGET, tracing::Level::INFO)
}

/// Returns a version of HTTP as request lines have it.
pub(crate) fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("HTTP/1.0"),
        Version::HTTP_11 => Some("HTTP/1.1"),
        Version::HTTP_2 => Some("HTTP/2.0"),
        _ => None,
    }
}

fn as_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the canonical path without its query; empty if the request is not valid.
pub(crate) fn canonical_path<'a>(raw_target: &'a [u8], context: &'a Context) -> &'a str {
    let target = context.decision.as_ref().and_then(|decision| decision.target.as_ref());
    target.map_or("", |target| target.path(raw_target))
}

/// All that may be a credential in a request, valid or not.
pub(crate) struct PresentedCredentials<'a> {
    headers: &'a HeaderMap,
    /// Headers that hold nothing else.
    credential_headers: &'a [NormalizedHeaderName],
    /// Values from other places.
    others: Vec<Vec<u8>>,
}

/// Returns the credentials of a request, in all places in which its route looks for one, or any route if it has none.
pub(crate) fn presented_credentials<'a>(request: &'a RequestHeader, context: &'a Context) -> PresentedCredentials<'a> {
    let (routes, route) = (&context.snapshot.policy.routes, context.route());
    let places = routes.page_credentials(route);
    let others = if places.is_empty() { Vec::new() } else { places.values(&request.headers, request.raw_path()) };
    PresentedCredentials { headers: &request.headers, credential_headers: routes.credential_headers(route), others }
}

impl PresentedCredentials<'_> {
    /// Returns those that have at most `max_bytes`.
    fn up_to(&self, max_bytes: usize) -> impl Iterator<Item = &[u8]> {
        let others = self.others.iter().map(Vec::as_slice);
        let others = others.filter(move |other| (MIN_KEY_BYTES..=max_bytes).contains(&other.len()));
        credential::presented(self.headers, self.credential_headers, max_bytes).chain(others)
    }
}

/// Masks keys in a text of the client: values of our format, and path segments that contain a credential of the
/// request.
pub(crate) fn mask_credentials<'a>(text: &'a str, credentials: &PresentedCredentials<'_>) -> Cow<'a, str> {
    let longest_segment = text.as_bytes().split(|byte| *byte == b'/').map(<[u8]>::len).max().unwrap_or_default();
    if longest_segment < MIN_KEY_BYTES {
        return Cow::Borrowed(text);
    }
    let presented = || credentials.up_to(longest_segment);
    let is_ours = |key: &&[u8]| std::str::from_utf8(key).is_ok_and(|key| key_format(key) == KeyFormat::Generated);
    // First the credentials of other formats: one of them may contain a value of our format.
    let masked = presented().filter(|key| !is_ours(key)).fold(Cow::Borrowed(text), mask_segments);
    presented().filter(is_ours).fold(redact_cow(masked), mask_segments)
}

/// Masks the segments of a path that contain a credential after percent-decoding.
fn mask_segments<'a>(path: Cow<'a, str>, credential: &[u8]) -> Cow<'a, str> {
    let contains_credential = |segment: &str| {
        let decoded: Cow<'_, [u8]> = percent_decode_str(segment).into();
        memmem::find(&decoded, credential).is_some()
    };
    if !path.split('/').any(contains_credential) {
        return path;
    }
    let segments: Vec<&str> =
        path.split('/').map(|segment| if contains_credential(segment) { MASK } else { segment }).collect();
    Cow::Owned(segments.join("/"))
}

#[cfg(test)]
mod tests;

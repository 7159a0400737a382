//! One line of JSON for each request. It names the key by its id, and never holds a credential.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use gatepost_domain::time::Timestamp;
use pingora::proxy::Session;
use serde::{Serialize, Serializer};

use crate::context::Context;
use crate::front::Target;
use crate::log_writer::LogWriter;

/// The name by which `log.filter` turns these lines off.
const TARGET: &str = "gatepost::access";

thread_local! {
    /// One line is made at a time on a thread.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is told of a request, in the shape of all other log lines.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    #[serde(serialize_with = "as_text")]
    pub(crate) timestamp: Timestamp,
    pub(crate) level: &'static str,
    pub(crate) request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) bytes_sent: usize,
    pub(crate) duration_us: u64,
    pub(crate) target: &'static str,
}

impl<'a> Line<'a> {
    /// The line of a request that has ended.
    pub(crate) fn of(session: &'a Session, context: &'a Context, route: &'a str, status: u16, now: Timestamp) -> Self {
        Self {
            method: session.req_header().method.as_str(),
            path: path(session.req_header().raw_path(), context),
            bytes_sent: session.body_bytes_sent(),
            ..Self::without_session(context, route, status, now)
        }
    }

    /// The same where nothing is known but what the phases learned.
    pub(crate) fn without_session(context: &'a Context, route: &'a str, status: u16, now: Timestamp) -> Self {
        let facts = context.facts.as_deref();
        Self {
            timestamp: now,
            level: "INFO",
            request_id: context.request_id.as_str(),
            client: context.client,
            method: "",
            path: "",
            route,
            status,
            outcome: context.outcome.label(),
            reason: context.outcome.reason(),
            key_id: facts.map(|facts| facts.key.as_str()),
            project_id: facts.map(|facts| facts.project.as_str()),
            source: context.source.map(|source| source.as_str()),
            upstream: context.upstream,
            bytes_sent: 0,
            duration_us: u64::try_from(context.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            target: TARGET,
        }
    }

    /// Hands the line to the one who writes it.
    pub(crate) fn write(&self, writer: &LogWriter) {
        LINE.with_borrow_mut(|bytes| {
            bytes.clear();
            // Writing to memory does not fail, and every value is a text or a number.
            if serde_json::to_writer(&mut *bytes, self).is_ok() {
                bytes.push(b'\n');
                writer.push(bytes);
            }
        });
    }
}

/// Whether anybody wants these lines.
pub(crate) fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// The canonical path, without its query; empty where the front has refused the request.
fn path<'a>(as_came: &'a [u8], context: &'a Context) -> &'a str {
    let (target, path_bytes) = match &context.target {
        None => return "",
        Some(Target::AsCame { path_bytes }) => (as_came, *path_bytes),
        Some(Target::Rewritten { target, path_bytes }) => (target.as_bytes(), *path_bytes),
    };
    target.get(..path_bytes).and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default()
}

fn as_text<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(timestamp)
}

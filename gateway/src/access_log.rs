//! One line for each request. It names the key by its id, and never holds a credential.

use pingora::proxy::Session;

use crate::context::Context;
use crate::front::Target;

/// Writes the line of a request that has ended.
pub(crate) fn write(session: &Session, context: &Context, route: &str, status: u16) {
    let facts = context.facts.as_deref();
    tracing::info!(
        target: "gatepost::access",
        request_id = context.request_id.as_str(),
        client = context.client.map(tracing::field::display),
        method = session.req_header().method.as_str(),
        path = path(session, context),
        route,
        status,
        outcome = context.outcome.label(),
        reason = context.outcome.reason(),
        key_id = facts.map(|facts| facts.key.as_str()),
        project_id = facts.map(|facts| facts.project.as_str()),
        source = context.source.map(|source| source.as_str()),
        upstream = context.upstream.map(tracing::field::display),
        bytes_sent = session.body_bytes_sent(),
        duration_us = u64::try_from(context.started.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
}

/// The canonical path, without its query; empty where the front has refused the request.
fn path<'a>(session: &'a Session, context: &'a Context) -> &'a str {
    let (target, path_bytes) = match &context.target {
        None => return "",
        Some(Target::AsCame { path_bytes }) => (session.req_header().raw_path(), *path_bytes),
        Some(Target::Rewritten { target, path_bytes }) => (target.as_bytes(), *path_bytes),
    };
    target.get(..path_bytes).and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default()
}

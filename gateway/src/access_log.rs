//! One line for each request. It names the key by its id, and never holds a credential.

use pingora::proxy::Session;

use crate::context::Context;

/// Writes the line of a request that has ended.
pub(crate) fn write(session: &Session, context: &Context, route: &str, status: u16) {
    let facts = context.facts.as_deref();
    let path = context.front.as_ref().map_or("", |front| front.path.as_str());
    tracing::info!(
        target: "gatepost::access",
        request_id = context.request_id,
        client = context.client.map(tracing::field::display),
        method = session.req_header().method.as_str(),
        path,
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

//! A check of the names of upstreams, without starting them.

use futures::future::join_all;

use super::server_name::ServerName;
use crate::options::UpstreamOptions;
use crate::resolve_error::ResolveError;

/// Returns what is wrong with the names of all upstreams now, in their order.
pub async fn resolution_errors(upstreams: &[UpstreamOptions]) -> Vec<ResolveError> {
    join_all(upstreams.iter().map(errors_of)).await.into_iter().flatten().collect()
}

async fn errors_of(upstream: &UpstreamOptions) -> Vec<ResolveError> {
    match ServerName::parse_all(upstream, None) {
        Ok(names) => {
            let resolved = join_all(names.iter().map(|name| name.resolve(&upstream.name))).await;
            resolved.into_iter().filter_map(Result::err).collect()
        }
        Err(error) => vec![error],
    }
}

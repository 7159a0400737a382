//! Limit of open files and sockets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are reserved for everything but the connections of clients and upstreams: connections of the admin API,
/// the operations server and the store, deliveries in flight, and files.
const RESERVED_FILES: u64 = 4000;

/// Raises the limit to the maximum that the system allows. Shells start processes with a limit of 1,024.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the limit stays as it is, and the hint of `max_connections` reports it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Returns how many of the configured client connections the open file limit allows, and a hint if it is not all. Each
/// needs a second one to an upstream, and the admin API and the operations server must never run out of files.
pub(crate) fn max_connections(configured: usize) -> (usize, Option<String>) {
    match getrlimit(Resource::Nofile).current {
        Some(limit) => max_connections_within(limit, configured),
        None => (configured, None),
    }
}

fn max_connections_within(limit: u64, configured: usize) -> (usize, Option<String>) {
    let needed = 2 * configured as u64 + RESERVED_FILES;
    let left = (limit - RESERVED_FILES.min(limit / 2)) / 2;
    let affordable = usize::try_from(left).unwrap_or(usize::MAX).max(1);
    if affordable >= configured {
        return (configured, None);
    }
    let hint = format!(
        "this process can open {limit} files: the gateway accepts {affordable} connections instead of \
         gateway.max_connections = {configured}, which needs {needed} files; raise the hard limit (ulimit -Hn, \
         LimitNOFILE=) or lower the setting"
    );
    (affordable, Some(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        for (limit, expected) in [(104_000, 50_000), (103_999, 49_999), (20_000, 8000), (1024, 256), (300, 75), (2, 1)]
        {
            let (affordable, hint) = max_connections_within(limit, 50_000);
            assert_eq!((affordable, hint.is_some()), (expected, expected < 50_000), "{limit}");
        }
        assert_eq!(max_connections_within(64, 10), (10, None), "not more than configured");
    }
}

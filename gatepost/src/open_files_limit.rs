//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside the connections of clients and upstreams: those of the admin API, of the operations pages and of the store, the
/// deliveries under way, files.
const RESERVED_FILES: u64 = 4000;

/// Takes as many as the system allows: a shell gives a process 1,024 of them at first.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised it stays as it is, and the hint below says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many of so many connections of clients there are files for, each with one to an upstream, and what to say if it
/// is not all. The admin API and the operations pages must not go without.
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
        "this process may open {limit} files: the gateway takes {affordable} connections and not gateway.max_connections = \
         {configured}, which needs {needed} files; raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower the setting"
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
        assert_eq!(max_connections_within(64, 10), (10, None), "no more than was asked for");
    }
}

//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside the connections of clients and upstreams: those of the admin API, of the operations pages and of the store, the
/// deliveries under way, files.
const OTHERS: u64 = 4000;

/// Takes as many as the system allows: a shell gives a process 1,024 of them at first.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised it stays as it is, and the hint below says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// What to say if there are too few for so many connections of clients, each with one to an upstream.
pub(crate) fn hint(max_connections: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile).current?;
    let needed = 2 * max_connections as u64 + OTHERS;
    (limit < needed).then(|| {
        format!(
            "this process may open {limit} files, and gateway.max_connections = {max_connections} can need {needed}: \
             raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower the setting"
        )
    })
}

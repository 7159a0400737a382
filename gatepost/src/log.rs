//! Log lines: JSON on standard error, so that what a command prints stays apart.

use tracing_subscriber::EnvFilter;

/// Begins to log. A second call changes nothing.
pub(crate) fn start(filter: &str) {
    let filter = EnvFilter::new(filter);
    let subscriber =
        tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr);
    // That somebody logs already is what we want.
    drop(subscriber.try_init());
}

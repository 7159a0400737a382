//! Metrics of the process itself.

use gatepost_domain::time::Clock;
use gatepost_store::clock::SystemClock;
use gatepost_test_support::MockServer;

use crate::process::Gatepost;

/// More than a process may have taken to start.
const MAX_AGE_S: f64 = 600.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_shows_its_use_of_the_system() {
    let (directory, origin) = (tempfile::tempdir().unwrap(), MockServer::start());
    let up = Gatepost::start(directory.path(), &["up", "--upstream", &origin.url()]).await;
    let metrics = up.metrics().await;
    for name in ["process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_threads"] {
        assert!(metrics.contains(&format!("\n# HELP {name} ")) && metrics.contains(&format!("\n{name} ")), "{metrics}");
    }
    assert!(up.metric("process_open_fds").await > 3.0);
    assert!(up.metric("process_max_fds").await >= up.metric("process_open_fds").await);
    assert!(up.metric("process_threads").await > 1.0);
    let resident = up.metric("process_resident_memory_bytes").await;
    let other = up.resident_kib() as f64 * 1024.0;
    assert!((0.5..2.0).contains(&(resident / other)), "{resident} and {other}");
    assert!(up.metric("process_virtual_memory_bytes").await >= resident);
    let age = SystemClock.now().as_ms() as f64 / 1000.0 - up.metric("process_start_time_seconds").await;
    assert!((-2.0..MAX_AGE_S).contains(&age), "started {age} s ago");
}

//! A process that is told to stop, as load balancers and their clients see it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatepost_test_support::MockServer;

use crate::process::Gatepost;
use crate::systemd::send_until;

/// Much longer than until the load balancer below looks.
const DRAIN_DELAY_MS: u64 = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_stops_is_not_ready_before_it_refuses_anybody() {
    let (directory, upstream) = (tempfile::tempdir().unwrap(), MockServer::start());
    let toml = format!(
        "[gateway]\ndrain_delay_ms = {DRAIN_DELAY_MS}\n[[gateway.route]]\nauth = \"off\"\n\
         [gateway.upstream.app]\nservers = [\"{}\"]\n",
        upstream.address()
    );
    fs::write(directory.path().join("gatepost.toml"), toml).unwrap();
    let mut gatepost = Gatepost::start(directory.path(), &["up"]).await;
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4).map(|_| send_until(&done, gatepost.gateway.unwrap(), "")).collect();
    gatepost.signal("-TERM");
    let is_draining = async {
        while gatepost.readiness().await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    is_draining.await;
    let served = upstream.request_count();
    // A load balancer needs a moment to know.
    assert!(upstream.await_count(served + 50, Duration::from_secs(60)) >= served + 50, "clients are served meanwhile");
    done.store(true, Ordering::Relaxed);
    for sending in load {
        let results = sending.await.unwrap();
        assert_eq!(results.keys().collect::<Vec<_>>(), ["200 OK"], "{results:?}");
    }
    assert_eq!(gatepost.await_exit(), Some(0));
}

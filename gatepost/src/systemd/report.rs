//! The task that keeps the service manager informed: the state of the process, and that it is alive.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_ops::Readiness;
use gatepost_runtime::{Task, supervise};
use reqwest::Client;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::notify::ServiceManager;

/// Time between two looks at the state.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Reports until the process ends, unless there is no service manager.
///
/// # Errors
/// If the client that asks this process whether it is alive cannot be built.
pub(crate) fn start(manager: &ServiceManager, readiness: &Readiness, ops: SocketAddr) -> reqwest::Result<()> {
    if !manager.is_connected() {
        return Ok(());
    }
    let client = Client::builder().no_proxy().build()?;
    let reporter = Reporter { manager: manager.clone(), readiness: readiness.clone(), client, ops };
    drop(supervise(Task::ServiceManager, move || reporter.clone().run()));
    Ok(())
}

#[derive(Clone)]
struct Reporter {
    manager: ServiceManager,
    readiness: Readiness,
    client: Client,
    /// Address of the operations server.
    ops: SocketAddr,
}

impl Reporter {
    async fn run(self) {
        let mut status = String::new();
        let mut looks = every(STATUS_INTERVAL);
        // Twice as often as the manager asks for.
        let mut checks = self.manager.watchdog().map(|longest| every(longest / 2));
        loop {
            tokio::select! {
                // The state first, which takes no time: a check of a process that does not respond takes its whole period.
                biased;
                _ = looks.tick() => self.report_status(&mut status),
                period = next_check(&mut checks) => self.report_alive(period).await,
            }
        }
    }

    fn report_status(&self, last: &mut String) {
        let status = self.readiness.summary();
        if status != *last {
            self.manager.report_status(&status);
            *last = status;
        }
    }

    /// Reports that the process is alive if it responds to `/livez` within this time, as it would to anybody: connections
    /// are accepted and tasks run.
    async fn report_alive(&self, limit: Duration) {
        let request = self.client.get(format!("http://{}/livez", self.ops)).timeout(limit);
        match request.send().await.and_then(reqwest::Response::error_for_status) {
            Ok(_) => self.manager.report_alive(),
            Err(_) => tracing::warn!("the process does not respond to its own /livez, no WATCHDOG=1 is sent"),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now(), period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for the next check, and returns the time between two. Without a watchdog there is none.
async fn next_check(checks: &mut Option<Interval>) -> Duration {
    match checks {
        Some(checks) => {
            checks.tick().await;
            checks.period()
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn receive(manager: &UnixDatagram) -> String {
        let mut message = [0; 1000];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_does_not_answer_is_not_reported_as_alive() {
        // The program does it when it starts; another test may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ops = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let manager = ServiceManager::connect(path.as_os_str(), Some(Duration::from_secs(1))).unwrap();
        start(&manager, &Readiness::default(), ops.local_addr().unwrap()).unwrap();
        let (silent, _) = ops.accept().await.unwrap();
        let (next, _) = ops.accept().await.unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        while let Ok(length) = receiver.recv(&mut [0; 1000]) {
            received.push(length);
        }
        assert_eq!(received, ["STATUS=ready".len()], "nothing but the state until it has answered");
        receiver.set_nonblocking(false).unwrap();
        let answering = tokio::spawn(async move {
            let mut stream = next;
            loop {
                // It may have been given up already.
                let _ = stream.read_buf(&mut Vec::with_capacity(1000)).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
                stream = ops.accept().await.unwrap().0;
            }
        });
        assert_eq!(receive(&receiver), "WATCHDOG=1");
        answering.abort();
        drop(silent);
    }
}

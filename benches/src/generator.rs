//! Load generator: one thread, many keep-alive connections, and requests with keys in turn or at random. In a closed
//! loop, each connection sends a request as soon as it has received a response. At a constant rate, the latency of a
//! request counts from the time at which it is due, so that a late response does not hide the delay of others.

mod connection;
mod handshakes;
mod idle;
mod requests;
mod transport;

use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::fs::Timespec;
use tokio::time::Instant;

use connection::{Connection, ExchangeState};
pub(crate) use handshakes::HandshakeClients;
pub(crate) use idle::with_idle_connections;
pub(crate) use requests::{Keys, Requests, UnknownKeys};
pub(crate) use transport::{HOST, Target};

use crate::machine::Core;

/// Maximum of recorded latencies in µs.
const MAX_LATENCY_US: u64 = 120_000_000;
/// Maximum wait for events until the clock is checked.
const IDLE_TIMEOUT: Duration = Duration::from_millis(50);
/// Maximum number of aborted requests until a run fails.
const MAX_ABORTED: u64 = 1000;

#[derive(Debug, Clone, Copy)]
pub(crate) enum LoadModel {
    /// Each connection sends a request as soon as it has received a response.
    ClosedLoop,
    /// A number of requests per second, independent of the responses.
    ConstantRate(f64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum StopAfter {
    Elapsed(Duration),
    Responses(u64),
}

#[derive(Debug, Clone)]
pub(crate) struct LoadConfig {
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) load_model: LoadModel,
    pub(crate) stop_after: StopAfter,
    /// Core of the load generator.
    pub(crate) core: Core,
}

#[derive(Debug)]
pub(crate) struct LoadResult {
    /// Number of responses by status.
    pub(crate) by_status: Vec<(u16, u64)>,
    /// Number of requests whose connection ended before the response.
    pub(crate) aborted: u64,
    pub(crate) elapsed: Duration,
    /// Latencies in µs.
    pub(crate) latency: Histogram<u64>,
}

impl LoadResult {
    /// Returns the number of responses.
    pub(crate) fn responses(&self) -> u64 {
        self.by_status.iter().map(|(_, count)| count).sum()
    }

    /// Returns the number of responses with a status.
    pub(crate) fn count_with_status(&self, status: u16) -> u64 {
        self.by_status.iter().filter(|(code, _)| *code == status).map(|(_, count)| count).sum()
    }

    /// Returns the number of responses per second.
    pub(crate) fn rate(&self) -> f64 {
        self.responses() as f64 / self.elapsed.as_secs_f64()
    }

    /// Fails if any response has another status, or if there is none.
    pub(crate) fn expect_only(&self, statuses: &[u16]) -> anyhow::Result<()> {
        if self.responses() == 0 || self.by_status.iter().any(|(status, _)| !statuses.contains(status)) {
            bail!("expected only {statuses:?}, got {:?}, and {} aborted connections", self.by_status, self.aborted);
        }
        Ok(())
    }
}

/// Runs a load in its own thread.
pub(crate) fn run(config: &LoadConfig, requests: &mut Requests) -> anyhow::Result<LoadResult> {
    run_from_start(config, requests, || {})
}

/// Runs a load in its own thread, and calls `at_start` when the connections are open and the first request is due.
pub(crate) fn run_from_start(
    config: &LoadConfig,
    requests: &mut Requests,
    at_start: impl FnOnce() + Send,
) -> anyhow::Result<LoadResult> {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            config.core.pin_thread()?;
            LoadRun::start(config, requests, at_start)?.finish()
        });
        running.join().unwrap_or_else(|_| bail!("the load generator panicked"))
    })
}

struct LoadRun<'a> {
    config: &'a LoadConfig,
    requests: &'a mut Requests,
    epoll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    free: Vec<usize>,
    started_at: Instant,
    sent: u64,
    completed: u64,
    statuses: Vec<u64>,
    aborted: u64,
    latency: Histogram<u64>,
}

impl<'a> LoadRun<'a> {
    /// Connects to the server, and calls `at_start` when all connections are open.
    fn start(config: &'a LoadConfig, requests: &'a mut Requests, at_start: impl FnOnce()) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(config.connections);
        for number in 0..config.connections {
            connections.push(Connection::open(&config.target, &epoll, number)?);
        }
        at_start();
        Ok(Self {
            config,
            requests,
            epoll,
            free: (0..config.connections).rev().collect(),
            connections,
            started_at: Instant::now(),
            sent: 0,
            completed: 0,
            statuses: vec![0; 1000],
            aborted: 0,
            latency: Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?,
        })
    }

    fn finish(mut self) -> anyhow::Result<LoadResult> {
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 64 * 1024];
        while !self.is_over() {
            self.send_due_requests()?;
            events.clear();
            let wait = self.time_until_due();
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let number = usize::try_from(event.data.u64())?;
                self.drive_connection(number, &mut buffer)?;
            }
        }
        let statuses = self.statuses.iter().enumerate().filter(|(_, count)| **count > 0);
        let by_status = statuses.map(|(status, count)| (u16::try_from(status).unwrap_or_default(), *count)).collect();
        Ok(LoadResult { by_status, aborted: self.aborted, elapsed: self.started_at.elapsed(), latency: self.latency })
    }

    fn is_over(&self) -> bool {
        match self.config.stop_after {
            StopAfter::Elapsed(duration) => self.started_at.elapsed() >= duration,
            StopAfter::Responses(count) => self.completed >= count,
        }
    }

    /// Returns when a request is due, as the time since the start.
    fn due_at(&self, number: u64) -> Duration {
        match self.config.load_model {
            LoadModel::ClosedLoop => Duration::ZERO,
            LoadModel::ConstantRate(rate) => Duration::from_secs_f64(number as f64 / rate),
        }
    }

    /// Returns the time until the next request is due, if a connection is free.
    fn time_until_due(&self) -> Duration {
        if self.free.is_empty() || self.has_sent_all() {
            return IDLE_TIMEOUT;
        }
        self.due_at(self.sent).saturating_sub(self.started_at.elapsed()).min(IDLE_TIMEOUT)
    }

    fn has_sent_all(&self) -> bool {
        matches!(self.config.stop_after, StopAfter::Responses(count) if self.sent >= count)
    }

    fn send_due_requests(&mut self) -> anyhow::Result<()> {
        while !self.has_sent_all()
            && let Some(number) = self.free.pop()
        {
            let (due, now) = (self.due_at(self.sent), self.started_at.elapsed());
            if due > now {
                self.free.push(number);
                break;
            }
            let latency_from = match self.config.load_model {
                LoadModel::ClosedLoop => now,
                LoadModel::ConstantRate(_) => due,
            };
            self.sent += 1;
            self.connections[number].send(self.requests, latency_from)?;
        }
        Ok(())
    }

    fn drive_connection(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        match self.connections[number].drive(self.requests, buffer)? {
            ExchangeState::Pending => {}
            ExchangeState::Complete { status, latency_from, closes } => {
                self.completed += 1;
                self.statuses[usize::from(status) % 1000] += 1;
                let latency = self.started_at.elapsed().saturating_sub(latency_from);
                self.latency.saturating_record(u64::try_from(latency.as_micros())?.max(1));
                if closes {
                    self.reopen(number)?;
                }
                self.free.push(number);
            }
            ExchangeState::Closed => {
                self.reopen(number)?;
                if !self.free.contains(&number) {
                    // Closing an idle connection aborts no request. Otherwise the request is sent again.
                    self.aborted += 1;
                    if self.aborted > MAX_ABORTED {
                        bail!("too many connections were closed before the response");
                    }
                    self.sent -= 1;
                    self.free.push(number);
                }
            }
        }
        Ok(())
    }

    fn reopen(&mut self, number: usize) -> anyhow::Result<()> {
        self.connections[number] = Connection::open(&self.config.target, &self.epoll, number)?;
        Ok(())
    }
}

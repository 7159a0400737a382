//! Load: one thread, many connections that stay open, and requests that name keys in turn or at random. Either every
//! connection asks as soon as it was answered, or requests are due at a constant rate and their latency counts from
//! when they were due, so that an answer that comes late delays none that it should not.

mod connection;
mod requests;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::fs::Timespec;
use tokio::time::Instant;

use connection::{Connection, ExchangeState};
pub(crate) use requests::{Keys, Requests, UnknownKeys};

use crate::machine::Core;

/// The longest latency that is told apart, in µs.
const MAX_LATENCY_US: u64 = 120_000_000;
/// How often the clock is looked at when nothing happens.
const IDLE_TIMEOUT: Duration = Duration::from_millis(50);
/// How often an answer may be lost before the run is given up.
const MAX_ABORTED: u64 = 1000;

/// How fast requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoadModel {
    /// As fast as they are answered.
    ClosedLoop,
    /// So many a second, whatever the answers.
    ConstantRate(f64),
}

/// When it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopAfter {
    /// After a time.
    Elapsed(Duration),
    /// After so many answers.
    Responses(u64),
}

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadConfig {
    pub(crate) target: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) load_model: LoadModel,
    pub(crate) stop_after: StopAfter,
    /// Where the generator runs.
    pub(crate) core: Core,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct LoadResult {
    /// Answers by their status.
    pub(crate) by_status: Vec<(u16, u64)>,
    /// Requests whose connection ended before the answer.
    pub(crate) aborted: u64,
    pub(crate) elapsed: Duration,
    /// In µs.
    pub(crate) latency: Histogram<u64>,
}

impl LoadResult {
    /// Answers in all.
    pub(crate) fn responses(&self) -> u64 {
        self.by_status.iter().map(|(_, count)| count).sum()
    }

    /// Answers of one status.
    pub(crate) fn count_with_status(&self, status: u16) -> u64 {
        self.by_status.iter().filter(|(code, _)| *code == status).map(|(_, count)| count).sum()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.responses() as f64 / self.elapsed.as_secs_f64()
    }

    /// An error if any answer was another one.
    pub(crate) fn expect_only(&self, statuses: &[u16]) -> anyhow::Result<()> {
        if self.responses() == 0 || self.by_status.iter().any(|(status, _)| !statuses.contains(status)) {
            bail!("expected only {statuses:?}, got {:?}, and {} connections broke", self.by_status, self.aborted);
        }
        Ok(())
    }
}

/// Runs a load on a thread of its own.
pub(crate) fn run(config: LoadConfig, requests: &mut Requests) -> anyhow::Result<LoadResult> {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            config.core.pin_thread()?;
            LoadRun::start(config, requests)?.finish()
        });
        running.join().unwrap_or_else(|_| bail!("the load generator panicked"))
    })
}

struct LoadRun<'a> {
    config: LoadConfig,
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
    fn start(config: LoadConfig, requests: &'a mut Requests) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(config.connections);
        for number in 0..config.connections {
            connections.push(Connection::open(config.target, &epoll, number)?);
        }
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

    /// When a request is due, as the time since the beginning.
    fn due_at(&self, number: u64) -> Duration {
        match self.config.load_model {
            LoadModel::ClosedLoop => Duration::ZERO,
            LoadModel::ConstantRate(rate) => Duration::from_secs_f64(number as f64 / rate),
        }
    }

    /// Until the next request is due, if a connection is free for it.
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
                    // A connection that was closed while it was idle costs a request nothing: it is sent anew.
                    self.aborted += 1;
                    if self.aborted > MAX_ABORTED {
                        bail!("connections break again and again");
                    }
                    self.sent -= 1;
                    self.free.push(number);
                }
            }
        }
        Ok(())
    }

    fn reopen(&mut self, number: usize) -> anyhow::Result<()> {
        self.connections[number] = Connection::open(self.config.target, &self.epoll, number)?;
        Ok(())
    }
}

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

use connection::{Connection, Progress};
pub(crate) use requests::{Keys, Requests, Strangers};

use crate::machine::Core;

/// The longest latency that is told apart, in µs.
const MAX_LATENCY_US: u64 = 120_000_000;
/// How often the clock is looked at when nothing happens.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How often an answer may be lost before the run is given up.
const MAX_BROKEN: u64 = 1000;

/// How fast requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are answered.
    Answers,
    /// So many a second, whatever the answers.
    Rate(f64),
}

/// When it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After a time.
    For(Duration),
    /// After so many answers.
    Answers(u64),
}

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    /// Where the generator runs.
    pub(crate) core: Core,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Answers by their status.
    pub(crate) by_status: Vec<(u16, u64)>,
    /// Requests whose connection ended before the answer.
    pub(crate) broken: u64,
    pub(crate) took: Duration,
    /// In µs.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    /// Answers in all.
    pub(crate) fn answers(&self) -> u64 {
        self.by_status.iter().map(|(_, count)| count).sum()
    }

    /// Answers of one status.
    pub(crate) fn of_status(&self, status: u16) -> u64 {
        self.by_status.iter().filter(|(one, _)| *one == status).map(|(_, count)| count).sum()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answers() as f64 / self.took.as_secs_f64()
    }

    /// An error if any answer was another one.
    pub(crate) fn expect_only(&self, statuses: &[u16]) -> anyhow::Result<()> {
        if self.answers() == 0 || self.by_status.iter().any(|(status, _)| !statuses.contains(status)) {
            bail!("expected only {statuses:?}, got {:?}, and {} connections broke", self.by_status, self.broken);
        }
        Ok(())
    }
}

/// Runs a load on a thread of its own.
pub(crate) fn run(load: Load, requests: &mut Requests) -> anyhow::Result<Outcome> {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            load.core.take_thread()?;
            Run::start(load, requests)?.finish()
        });
        running.join().unwrap_or_else(|_| bail!("the load generator panicked"))
    })
}

struct Run<'a> {
    load: Load,
    requests: &'a mut Requests,
    epoll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    free: Vec<usize>,
    began: Instant,
    sent: u64,
    answered: u64,
    statuses: Vec<u64>,
    broken: u64,
    latency: Histogram<u64>,
}

impl<'a> Run<'a> {
    fn start(load: Load, requests: &'a mut Requests) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            connections.push(Connection::open(load.target, &epoll, number)?);
        }
        Ok(Self {
            load,
            requests,
            epoll,
            free: (0..load.connections).rev().collect(),
            connections,
            began: Instant::now(),
            sent: 0,
            answered: 0,
            statuses: vec![0; 1000],
            broken: 0,
            latency: Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?,
        })
    }

    fn finish(mut self) -> anyhow::Result<Outcome> {
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 64 * 1024];
        while !self.is_over() {
            self.send_what_is_due()?;
            events.clear();
            let wait = self.wait();
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let number = usize::try_from(event.data.u64())?;
                self.go_on(number, &mut buffer)?;
            }
        }
        let statuses = self.statuses.iter().enumerate().filter(|(_, count)| **count > 0);
        let by_status = statuses.map(|(status, count)| (u16::try_from(status).unwrap_or_default(), *count)).collect();
        Ok(Outcome { by_status, broken: self.broken, took: self.began.elapsed(), latency: self.latency })
    }

    fn is_over(&self) -> bool {
        match self.load.until {
            Until::For(span) => self.began.elapsed() >= span,
            Until::Answers(count) => self.answered >= count,
        }
    }

    /// When a request is due, as the time since the beginning.
    fn due(&self, number: u64) -> Duration {
        match self.load.pace {
            Pace::Answers => Duration::ZERO,
            Pace::Rate(rate) => Duration::from_secs_f64(number as f64 / rate),
        }
    }

    /// Until the next request is due, if a connection is free for it.
    fn wait(&self) -> Duration {
        if self.free.is_empty() || self.has_sent_all() {
            return IDLE_WAIT;
        }
        self.due(self.sent).saturating_sub(self.began.elapsed()).min(IDLE_WAIT)
    }

    fn has_sent_all(&self) -> bool {
        matches!(self.load.until, Until::Answers(count) if self.sent >= count)
    }

    fn send_what_is_due(&mut self) -> anyhow::Result<()> {
        while !self.has_sent_all()
            && let Some(number) = self.free.pop()
        {
            let (due, now) = (self.due(self.sent), self.began.elapsed());
            if due > now {
                self.free.push(number);
                break;
            }
            let from = match self.load.pace {
                Pace::Answers => now,
                Pace::Rate(_) => due,
            };
            self.sent += 1;
            self.connections[number].send(self.requests, from)?;
        }
        Ok(())
    }

    fn go_on(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        match self.connections[number].go_on(self.requests, buffer)? {
            Progress::Waits => {}
            Progress::Answered { status, from, closes } => {
                self.answered += 1;
                self.statuses[usize::from(status) % 1000] += 1;
                let took = self.began.elapsed().saturating_sub(from);
                self.latency.saturating_record(u64::try_from(took.as_micros())?.max(1));
                if closes {
                    self.reopen(number)?;
                }
                self.free.push(number);
            }
            Progress::Closed => {
                self.reopen(number)?;
                if !self.free.contains(&number) {
                    // A connection that was closed while it was idle costs a request nothing: it is sent anew.
                    self.broken += 1;
                    if self.broken > MAX_BROKEN {
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
        self.connections[number] = Connection::open(self.load.target, &self.epoll, number)?;
        Ok(())
    }
}

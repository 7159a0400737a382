//! Writing log lines: they are gathered in memory and written to standard error by a thread of their own, many at a time.
//! Nobody waits for who reads them: what is too much, or cannot be written, is dropped and counted.

use std::io::{self, Write as _};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use crate::fail_point;
use crate::supervise::supervise_thread;
use crate::task::Task;

/// Between two writes. A crash loses the lines of this time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);
/// How long a stop waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes lines. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    task: Task,
    state: Mutex<State>,
    has_lines: Condvar,
    max_buffered_bytes: usize,
    dropped: IntCounter,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    is_writing: bool,
    is_closed: bool,
}

impl LogWriter {
    /// Starts one that writes to standard error. Beyond so many bytes that wait, lines are dropped.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread.
    pub fn start(task: Task, max_buffered_bytes: usize, dropped: IntCounter) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { task, state: Mutex::default(), has_lines: Condvar::new(), max_buffered_bytes, dropped });
        let writer = Arc::clone(&shared);
        let mut has_failed = false;
        supervise_thread(task, move || write_lines(&writer, &mut has_failed))?;
        Ok(Self { shared })
    }

    /// Takes a line, its end included.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.buffer.len() + line.len() > self.shared.max_buffered_bytes {
            self.shared.dropped.inc();
            return;
        }
        let is_first = state.buffer.is_empty();
        state.buffer.extend_from_slice(line);
        drop(state);
        if is_first {
            self.shared.has_lines.notify_one();
        }
    }

    /// Waits until all lines so far are written, at most a second.
    pub async fn flush(&self) {
        let flushed = async {
            while !self.is_idle() {
                tokio::time::sleep(FLUSH_INTERVAL / 4).await;
            }
        };
        // What is not written by then nobody reads.
        drop(tokio::time::timeout(FLUSH_TIMEOUT, flushed).await);
    }

    /// The same for the end of a process, where no runtime is left.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends within a second of this machine, whatever a test's clock says"
    )]
    pub fn flush_blocking(&self) {
        let began = Instant::now();
        while !self.is_idle() && began.elapsed() < FLUSH_TIMEOUT {
            thread::sleep(FLUSH_INTERVAL / 4);
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.shared.lock();
        state.buffer.is_empty() && !state.is_writing
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.has_lines.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a text to standard error, and gives up after a second: one that nobody reads must not hold up the end of a
/// process.
pub fn write_to_stderr(text: String) {
    let (done, is_done) = mpsc::sync_channel(1);
    let writing = move || {
        // There is nobody left to tell.
        drop(io::stderr().lock().write_all(text.as_bytes()));
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(writing).is_ok() {
        let _ = is_done.recv_timeout(FLUSH_TIMEOUT);
    }
}

fn write_lines(shared: &Shared, has_failed: &mut bool) {
    let mut lines = Vec::new();
    loop {
        // Before lines are taken, so that none are lost.
        fail_point::reached(shared.task);
        if take_lines(shared, &mut lines) == Batch::Closed {
            return;
        }
        let result = write(&lines, *has_failed);
        *has_failed = result.is_err();
        if *has_failed {
            // Some may have been written; rather too many are counted than too few.
            shared.dropped.inc_by(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
        lines.clear();
        shared.lock().is_writing = false;
        thread::sleep(FLUSH_INTERVAL);
    }
}

/// Writes whole lines: after a failure the last one may have been cut off, so it is ended first.
fn write(lines: &[u8], has_failed: bool) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if has_failed {
        stderr.write_all(b"\n")?;
    }
    stderr.write_all(lines)
}

#[derive(Debug, PartialEq, Eq)]
enum Batch {
    Lines,
    Closed,
}

fn take_lines(shared: &Shared, lines: &mut Vec<u8>) -> Batch {
    let mut state = shared.lock();
    while state.buffer.is_empty() {
        if state.is_closed {
            return Batch::Closed;
        }
        state = shared.has_lines.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    std::mem::swap(lines, &mut state.buffer);
    state.is_writing = true;
    Batch::Lines
}

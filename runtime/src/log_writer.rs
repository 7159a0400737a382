//! Log writer: lines are buffered in memory and written to standard error by a thread of its own, in batches.
//! No caller waits for the reader of standard error: lines beyond the buffer, or that cannot be written, are
//! dropped and counted.

use std::io::{self, Write as _};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use crate::fail_point;
use crate::supervise::supervise_thread;
use crate::task::Task;

/// Time between two writes. A crash loses the lines of this time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum time that a stop waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Handle of a log writer. The thread ends when the handle is dropped.
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
    /// Starts a writer to standard error. Lines that would exceed `max_buffered_bytes` are dropped.
    ///
    /// # Errors
    ///
    /// Fails if the system cannot create a thread.
    pub fn start(task: Task, max_buffered_bytes: usize, dropped: IntCounter) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { task, state: Mutex::default(), has_lines: Condvar::new(), max_buffered_bytes, dropped });
        let writer = Arc::clone(&shared);
        let mut has_failed = false;
        supervise_thread(task, move || write_lines(&writer, &mut has_failed))?;
        Ok(Self { shared })
    }

    /// Buffers a line, which must include its line end. Does not block.
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

    /// Waits until all lines so far are written, at most 1 s.
    pub async fn flush(&self) {
        let flushed = async {
            while !self.is_idle() {
                tokio::time::sleep(FLUSH_INTERVAL / 4).await;
            }
        };
        // If they are not written by then, nobody reads standard error.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, flushed).await;
    }

    /// Waits like [`Self::flush`] without a runtime, for the end of a process.
    #[expect(clippy::disallowed_methods, reason = "it must end within a real second, even if a test pauses the clock")]
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

/// Writes a text to standard error, and gives up after 1 s, so that a reader that hangs does not delay the end
/// of a process.
pub fn write_to_stderr(text: String) {
    write_within_timeout(move || io::stderr().lock().write_all(text.as_bytes()));
}

/// Writes a text to standard output, and gives up after 1 s, so that a terminal that is paused does not delay the start
/// of a process.
pub fn write_to_stdout(text: String) {
    write_within_timeout(move || io::stdout().lock().write_all(text.as_bytes()));
}

fn write_within_timeout(write: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let (done, is_done) = mpsc::sync_channel(1);
    let writing = move || {
        // A failure cannot be reported anywhere.
        let _ = write();
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(writing).is_ok() {
        let _ = is_done.recv_timeout(FLUSH_TIMEOUT);
    }
}

fn write_lines(shared: &Shared, has_failed: &mut bool) {
    let mut lines = Vec::new();
    loop {
        // Before lines are taken, so that a panic here loses none.
        fail_point::reached(shared.task);
        if !take_lines(shared, &mut lines) {
            return;
        }
        let result = write(&lines, *has_failed);
        *has_failed = result.is_err();
        if *has_failed {
            // Some lines may have been written; counting too many is better than too few.
            shared.dropped.inc_by(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
        lines.clear();
        shared.lock().is_writing = false;
        thread::sleep(FLUSH_INTERVAL);
    }
}

/// Writes whole lines. After a failure the last line may be incomplete, so a line end is written first.
fn write(lines: &[u8], has_failed: bool) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    if has_failed {
        stderr.write_all(b"\n")?;
    }
    stderr.write_all(lines)
}

/// Waits for lines and takes them. Returns `false` if the writer is closed and no lines are left.
fn take_lines(shared: &Shared, lines: &mut Vec<u8>) -> bool {
    let mut state = shared.lock();
    while state.buffer.is_empty() {
        if state.is_closed {
            return false;
        }
        state = shared.has_lines.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    std::mem::swap(lines, &mut state.buffer);
    state.is_writing = true;
    true
}

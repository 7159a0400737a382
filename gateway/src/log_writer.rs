//! Writing the access log: lines are gathered in memory and written by a thread of their own, many at a time, so that
//! no request waits for who reads them.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

/// Between two writes. A crash loses the lines of this time.
const WRITE_EVERY: Duration = Duration::from_millis(20);
/// Bytes of lines that wait. What comes beyond is dropped and counted: a reader that stands still stops no request.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// How long a stop waits for the last lines.
const MAX_LAST_WAIT: Duration = Duration::from_secs(1);

/// Takes lines. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    dropped: IntCounter,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    is_over: bool,
}

impl LogWriter {
    /// Starts one that writes to standard error.
    pub(crate) fn start(dropped: IntCounter) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || write_lines(&writing))?;
        Ok(Self { shared, dropped })
    }

    /// Takes a line, its end included.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.waiting.len() + line.len() > MAX_WAITING_BYTES {
            self.dropped.inc();
            return;
        }
        let is_first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if is_first {
            self.shared.rung.notify_one();
        }
    }

    /// Waits until all lines so far are written, or for as long as a stop may take.
    pub(crate) async fn written(&self) {
        let is_idle = || {
            let state = self.shared.lock();
            state.waiting.is_empty() && !state.is_writing
        };
        let waiting = async {
            while !is_idle() {
                tokio::time::sleep(WRITE_EVERY / 4).await;
            }
        };
        // What is not written by then nobody reads.
        drop(tokio::time::timeout(MAX_LAST_WAIT, waiting).await);
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.rung.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_lines(shared: &Shared) {
    let mut lines = Vec::new();
    while take_lines(shared, &mut lines) == Next::Lines {
        // To whom should it be told that standard error takes nothing?
        drop(io::stderr().lock().write_all(&lines));
        lines.clear();
        shared.lock().is_writing = false;
        thread::sleep(WRITE_EVERY);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Lines,
    End,
}

fn take_lines(shared: &Shared, lines: &mut Vec<u8>) -> Next {
    let mut state = shared.lock();
    while state.waiting.is_empty() {
        if state.is_over {
            return Next::End;
        }
        state = shared.rung.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    std::mem::swap(lines, &mut state.waiting);
    state.is_writing = true;
    Next::Lines
}

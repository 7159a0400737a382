//! Lines that a process prints while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::test_cluster::DEADLINE;

/// Lines that a process has printed.
#[derive(Default)]
pub(crate) struct Printed {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Printed {
    /// Collects the lines of an output in a thread.
    pub(crate) fn collect(output: impl Read + Send + 'static) -> Arc<Self> {
        let printed = Arc::new(Self::default());
        let collected = Arc::clone(&printed);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                collected.lines.lock().unwrap().push(line);
                collected.changed.notify_all();
            }
        });
        printed
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until a number of lines contain a text, and returns the last of them.
    pub(crate) fn wait_for(&self, text: &str, count: usize) -> String {
        let is_missing = |lines: &mut Vec<String>| lines.iter().filter(|line| line.contains(text)).count() < count;
        let lines = self.lines.lock().unwrap();
        let (lines, timeout) = self.changed.wait_timeout_while(lines, DEADLINE, is_missing).unwrap();
        assert!(!timeout.timed_out(), "{text:?} was not printed {count} times:\n{}", lines.join("\n"));
        lines.iter().rfind(|line| line.contains(text)).unwrap().clone()
    }
}

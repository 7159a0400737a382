//! Fail points: in debug builds, `FAIL_POINTS="sync:1,store-write:2:50"` makes a task panic that many times
//! (second field), each time after that many polls (third field). Release builds have none.

use crate::task::Task;

/// Does nothing: release builds have no fail points.
#[cfg(not(debug_assertions))]
pub fn reached(_: Task) {}

/// Panics if `FAIL_POINTS` says so. Called in the loop of a thread and at each poll of a task.
#[cfg(debug_assertions)]
pub fn reached(task: Task) {
    armed::reached(task);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::task::{Lifetime, Task};

    /// Polls before a process-lifetime task panics by default: by then it has started its work.
    const POLLS_BEFORE: u32 = 3;

    #[derive(Default)]
    struct Point {
        panics_remaining: AtomicU32,
        polls: AtomicU32,
        polls_before: AtomicU32,
    }

    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();

    pub(super) fn reached(task: Task) {
        let point = &POINTS.get_or_init(read)[task as usize];
        if point.panics_remaining.load(Ordering::Relaxed) == 0 {
            return;
        }
        if point.polls.fetch_add(1, Ordering::Relaxed) >= point.polls_before.load(Ordering::Relaxed) {
            point.polls.store(0, Ordering::Relaxed);
            let decrement = |left: u32| left.checked_sub(1);
            if point.panics_remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok() {
                panic!("fail point {}", task.as_str());
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "only debug builds read it")]
    fn read() -> Vec<Point> {
        let text = std::env::var("FAIL_POINTS").unwrap_or_default();
        let points: Vec<Point> = Task::ALL.iter().map(|_| Point::default()).collect();
        for (name, numbers) in text.split(',').filter_map(|point| point.split_once(':')) {
            let Some(task) = Task::ALL.iter().find(|task| task.as_str() == name) else { continue };
            let (count, polls_before) = numbers.split_once(':').unwrap_or((numbers, ""));
            let default_polls = match task.lifetime() {
                Lifetime::Process => POLLS_BEFORE,
                Lifetime::Temporary => 0,
            };
            let point = &points[*task as usize];
            point.panics_remaining.store(count.parse().unwrap_or(0), Ordering::Relaxed);
            point.polls_before.store(polls_before.parse().unwrap_or(default_polls), Ordering::Relaxed);
        }
        points
    }
}

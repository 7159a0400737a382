//! Supervision of tasks that live as long as the process: a task that panics is restarted.

use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use crate::health;
use crate::panics::{catch, catch_sync};
use crate::task::Task;

/// Delay before the first restart within a minute. It doubles with every further panic in that minute.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum delay before a restart.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Spawns a task and restarts it after each panic. It ends when `run` returns without one.
pub fn supervise<F, R>(task: Task, run: F) -> JoinHandle<()>
where
    F: FnMut() -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(run_with_restarts(task, run))
}

/// Supervises a task in a set. It is aborted when the set is dropped.
pub fn supervise_on<F, R>(set: &mut JoinSet<()>, task: Task, run: F)
where
    F: FnMut() -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    set.spawn(run_with_restarts(task, run));
}

/// Supervises a thread, named after the task.
///
/// # Errors
///
/// Fails if the system cannot create a thread.
pub fn supervise_thread(
    task: Task,
    mut run: impl FnMut() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(task.as_str().to_owned()).spawn(move || {
        while catch_sync(task, &mut run).is_err() {
            std::thread::sleep(backoff(health::mark_down(task)));
            health::mark_up(task);
        }
    })
}

async fn run_with_restarts<F, R>(task: Task, mut run: F)
where
    F: FnMut() -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    // Inside `async`, because a panic while creating the future must be caught too.
    while catch(task, async { run().await }).await.is_err() {
        tokio::time::sleep(backoff(health::mark_down(task))).await;
        health::mark_up(task);
    }
}

fn backoff(panics: usize) -> Duration {
    let doublings = u32::try_from(panics.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    FIRST_BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::health::{health, wait_for_crash_loop};

    #[tokio::test(start_paused = true)]
    async fn a_panicking_task_restarts_and_three_panics_are_a_crash_loop() {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let supervised = supervise(Task::Housekeeping, move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run >= 3, "on purpose") }
        });
        assert_eq!(wait_for_crash_loop().await, Task::Housekeeping);
        assert!(health().iter().any(|health| health.task == Task::Housekeeping && health.is_down));
        supervised.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        assert!(health().iter().any(|health| health.task == Task::Housekeeping && !health.is_down));
        tokio::time::sleep(health::PANIC_WINDOW).await;
        assert!(!health().iter().any(|health| health.task == Task::Housekeeping));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_while_creating_the_future_restarts_the_task() {
        let mut runs = 0;
        let supervised = supervise(Task::Sync, move || {
            runs += 1;
            assert!(runs > 1, "on purpose");
            std::future::ready(())
        });
        supervised.await.unwrap();
    }

    #[test]
    fn a_thread_that_panics_is_started_again() {
        let mut runs = 0;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let thread = supervise_thread(Task::LogWriter, move || {
            runs += 1;
            assert!(runs > 1, "on purpose");
            sender.send(runs).unwrap();
        });
        thread.unwrap().join().unwrap();
        assert_eq!(receiver.recv(), Ok(2));
    }
}

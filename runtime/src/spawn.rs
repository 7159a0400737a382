//! Spawning of temporary tasks.

use tokio::task::{JoinHandle, JoinSet};

use crate::panics::{Panicked, catch, catch_sync};
use crate::task::Task;

/// Spawns a task. Its panic is caught, counted and logged.
///
/// # Errors
/// The task ends with [`Panicked`] if the future panics.
pub fn spawn<F>(task: Task, future: F) -> JoinHandle<Result<F::Output, Panicked>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(catch(task, future))
}

/// Spawns a task. If it panics, the future of `on_panic` runs in the same task. `guard` is dropped when both have ended.
pub fn spawn_with_fallback<F, R>(
    task: Task,
    future: F,
    on_panic: impl FnOnce() -> R + Send + 'static,
    guard: impl Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        if catch(task, future).await.is_err() {
            // A panic of the fallback is counted too; nothing follows it.
            let _ = catch(task, on_panic()).await;
        }
        drop(guard);
    });
}

/// Spawns a task in a set. It is aborted when the set is dropped.
pub fn spawn_on<F>(set: &mut JoinSet<Result<F::Output, Panicked>>, task: Task, future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    set.spawn(catch(task, future));
}

/// Runs blocking code on a thread for blocking tasks, starting at once.
///
/// # Errors
/// Fails if the code panics, or if the runtime shuts down before it starts.
pub fn run_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    task: Task,
    run: F,
) -> impl Future<Output = Result<T, Panicked>> {
    let running = tokio::task::spawn_blocking(move || catch_sync(task, run));
    async move { running.await.unwrap_or(Err(Panicked)) }
}

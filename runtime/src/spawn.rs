//! Starting tasks that end by themselves.

use tokio::task::{JoinHandle, JoinSet};

use crate::panics::{Panicked, catch, catch_sync};
use crate::task::Task;

/// Starts a task.
pub fn spawn<F>(task: Task, future: F) -> JoinHandle<Result<F::Output, Panicked>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(catch(task, future))
}

/// Starts a task; what is to follow its panic is done then, by the same task. What it holds is dropped at its end.
pub fn spawn_with_fallback<F, R>(task: Task, future: F, on_panic: R, guard: impl Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        if catch(task, future).await.is_err() {
            // A panic of this is counted too, and there is nothing further to follow.
            let _ = catch(task, on_panic).await;
        }
        drop(guard);
    });
}

/// Starts a task in a set, whose end ends it.
pub fn spawn_on<F>(set: &mut JoinSet<Result<F::Output, Panicked>>, task: Task, future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    set.spawn(catch(task, future));
}

/// Runs what blocks on a thread of its own, from now on. [`Panicked`] also where the runtime ends before it has begun.
pub fn run_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    task: Task,
    run: F,
) -> impl Future<Output = Result<T, Panicked>> {
    let running = tokio::task::spawn_blocking(move || catch_sync(task, run));
    async move { running.await.unwrap_or(Err(Panicked)) }
}

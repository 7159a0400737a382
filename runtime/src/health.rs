//! Health of the tasks that live as long as the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::task::Task;

/// Time in which [`MAX_PANICS`] panics of a task are a crash loop.
pub(crate) const PANIC_WINDOW: Duration = Duration::from_secs(60);
/// Number of panics in [`PANIC_WINDOW`] that make a crash loop.
pub(crate) const MAX_PANICS: usize = 3;

/// Health of a task that has panicked within the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskHealth {
    /// The task.
    pub task: Task,
    /// Whether it waits for its restart.
    pub is_down: bool,
}

struct TaskPanics {
    task: Task,
    panicked_at: Vec<Instant>,
    is_down: bool,
}

/// Tasks that are down or have panicked within the last minute.
static TASKS: Mutex<Vec<TaskPanics>> = Mutex::new(Vec::new());
/// Set to a task when it is in a crash loop.
static CRASH_LOOP: Mutex<Option<watch::Sender<Option<Task>>>> = Mutex::new(None);

/// Returns the tasks that have panicked within the last minute or are down.
pub fn health() -> Vec<TaskHealth> {
    let mut tasks = lock(&TASKS);
    let now = Instant::now();
    tasks.retain(|panics| panics.is_down || panics.panicked_at.iter().any(|at| now - *at < PANIC_WINDOW));
    tasks.iter().map(|panics| TaskHealth { task: panics.task, is_down: panics.is_down }).collect()
}

/// Waits until a task has panicked for the third time within a minute. The process should drain and exit then.
pub async fn wait_for_crash_loop() -> Task {
    let mut receiver = crash_loop_sender().subscribe();
    let task = receiver.wait_for(Option::is_some).await.ok().and_then(|task| *task);
    match task {
        Some(task) => task,
        // The sender lives as long as the process.
        None => std::future::pending().await,
    }
}

/// Records a panic and marks the task as down. Returns the number of its panics within the last minute.
pub(crate) fn mark_down(task: Task) -> usize {
    let now = Instant::now();
    let count = {
        let mut tasks = lock(&TASKS);
        let index = tasks.iter().position(|panics| panics.task == task).unwrap_or_else(|| {
            tasks.push(TaskPanics { task, panicked_at: Vec::new(), is_down: true });
            tasks.len() - 1
        });
        let panics = &mut tasks[index];
        panics.panicked_at.retain(|at| now - *at < PANIC_WINDOW);
        panics.panicked_at.push(now);
        panics.is_down = true;
        panics.panicked_at.len()
    };
    if count >= MAX_PANICS {
        crash_loop_sender().send_replace(Some(task));
    }
    count
}

pub(crate) fn mark_up(task: Task) {
    for panics in lock(&TASKS).iter_mut().filter(|panics| panics.task == task) {
        panics.is_down = false;
    }
}

fn crash_loop_sender() -> watch::Sender<Option<Task>> {
    lock(&CRASH_LOOP).get_or_insert_with(|| watch::Sender::new(None)).clone()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

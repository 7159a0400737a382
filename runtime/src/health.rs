//! How the tasks are that live as long as the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::task::Task;

/// In this time a task may panic [`MAX_PANICS`] times before the process gives up.
pub(crate) const PANIC_WINDOW: Duration = Duration::from_secs(60);
/// The panic in [`PANIC_WINDOW`] at which it does.
pub(crate) const MAX_PANICS: usize = 3;

/// A task that has panicked lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskHealth {
    /// Which.
    pub task: Task,
    /// Whether it waits to be started again.
    pub is_down: bool,
}

struct State {
    /// Tasks that are down, or that panicked in the last minute, with the moments of their panics.
    tasks: Vec<(Task, Vec<Instant>, bool)>,
}

static STATE: Mutex<State> = Mutex::new(State { tasks: Vec::new() });
static CRASH_LOOP: Mutex<Option<watch::Sender<Option<Task>>>> = Mutex::new(None);

/// Tasks that have panicked in the last minute, or are down.
pub fn health() -> Vec<TaskHealth> {
    let mut state = lock(&STATE);
    let now = Instant::now();
    state.tasks.retain(|(_, at, is_down)| *is_down || at.iter().any(|at| now - *at < PANIC_WINDOW));
    state.tasks.iter().map(|(task, _, is_down)| TaskHealth { task: *task, is_down: *is_down }).collect()
}

/// Waits until a task has panicked for the third time in a minute: the process shall drain and end.
pub async fn wait_for_crash_loop() -> Task {
    let mut receiver = crash_loop_sender().subscribe();
    let task = receiver.wait_for(Option::is_some).await.ok().and_then(|task| *task);
    match task {
        Some(task) => task,
        // The sender lives as long as the process.
        None => std::future::pending().await,
    }
}

/// Takes note of a panic, after which the task is down. Returns how many there were in the last minute.
pub(crate) fn mark_down(task: Task) -> usize {
    let now = Instant::now();
    let count = {
        let mut state = lock(&STATE);
        let index = state.tasks.iter().position(|(other, _, _)| *other == task).unwrap_or_else(|| {
            state.tasks.push((task, Vec::new(), true));
            state.tasks.len() - 1
        });
        let (_, panicked_at, is_down) = &mut state.tasks[index];
        panicked_at.retain(|at| now - *at < PANIC_WINDOW);
        panicked_at.push(now);
        *is_down = true;
        panicked_at.len()
    };
    if count >= MAX_PANICS {
        crash_loop_sender().send_replace(Some(task));
    }
    count
}

pub(crate) fn mark_up(task: Task) {
    for (other, _, is_down) in &mut lock(&STATE).tasks {
        *is_down &= *other != task;
    }
}

fn crash_loop_sender() -> watch::Sender<Option<Task>> {
    lock(&CRASH_LOOP).get_or_insert_with(|| watch::Sender::new(None)).clone()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Time limits of steps: a step that hangs is killed, and one that has grown too slow fails.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::bail;

use crate::run::{descendants, kill};

/// How often what a hanging step has started is looked for and killed, and the pause between.
const KILL_ROUNDS: u32 = 50;
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// Runs a step. At its limit every process that it has started is killed, and it fails.
pub(crate) fn within(limit: Duration, step: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (ended, waiting) = sync_channel::<()>(0);
    let (answer, is_over) = std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let is_over = waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_over {
                kill_all_started();
            }
            is_over
        });
        let answer = step();
        drop(ended);
        (answer, watch.join().unwrap_or(true))
    });
    if is_over {
        bail!(
            "it took longer than its limit of {} s: make it faster, or raise the limit in xtask/src/steps.rs \
             (--no-time-limits runs it without)",
            limit.as_secs()
        );
    }
    answer
}

fn kill_all_started() {
    for _ in 0..KILL_ROUNDS {
        let started = descendants(std::process::id());
        if started.is_empty() {
            return;
        }
        kill(&started);
        std::thread::sleep(KILL_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;

    #[test]
    fn step_that_hangs_is_killed_with_all_that_it_started() {
        let limit = Duration::from_millis(200);
        let error = within(limit, || run("sh", &["-c", "sleep 1000 & sleep 1000"])).unwrap_err();
        assert!(error.to_string().starts_with("it took longer than its limit"), "{error}");
        assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
    }

    #[test]
    fn step_within_its_limit_answers_as_it_is() {
        let limit = Duration::from_secs(600);
        within(limit, || Ok(())).unwrap();
        let error = within(limit, || bail!("as it is")).unwrap_err();
        assert_eq!(error.to_string(), "as it is");
    }
}

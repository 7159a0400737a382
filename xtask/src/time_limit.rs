//! Time limits of steps: a step that hangs is killed, and a step that is too slow fails.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::bail;

use crate::run::{descendants, kill};

/// Number of rounds in which the descendants of a hanging step are killed, and the pause between two.
const KILL_ROUNDS: u32 = 50;
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// Runs a step. After its limit, all its descendants are killed and it fails.
pub(crate) fn run_within(limit: Duration, step: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (done_sender, done_receiver) = sync_channel::<()>(0);
    let (result, has_timed_out) = std::thread::scope(|scope| {
        let watchdog = scope.spawn(move || {
            let has_timed_out = done_receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if has_timed_out {
                kill_descendants();
            }
            has_timed_out
        });
        let result = step();
        drop(done_sender);
        (result, watchdog.join().unwrap_or(true))
    });
    if has_timed_out {
        bail!(
            "the step took longer than its limit of {} s: make it faster, or raise the limit in xtask/src/steps.rs \
             (--no-time-limits disables the limits)",
            limit.as_secs()
        );
    }
    result
}

fn kill_descendants() {
    for _ in 0..KILL_ROUNDS {
        let processes = descendants(std::process::id());
        if processes.is_empty() {
            return;
        }
        kill(&processes);
        std::thread::sleep(KILL_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;

    #[test]
    fn a_hanging_step_is_killed_with_its_descendants() {
        let limit = Duration::from_millis(200);
        let error = run_within(limit, || run("sh", &["-c", "sleep 1000 & sleep 1000"])).unwrap_err();
        assert!(error.to_string().starts_with("the step took longer than its limit"), "{error}");
        assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
    }

    #[test]
    fn a_step_within_its_limit_returns_its_result() {
        let limit = Duration::from_secs(600);
        run_within(limit, || Ok(())).unwrap();
        let error = run_within(limit, || bail!("its own error")).unwrap_err();
        assert_eq!(error.to_string(), "its own error");
    }
}

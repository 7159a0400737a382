//! Time limits of steps: a step that hangs is killed, and one that has grown too slow fails.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::bail;

use crate::run::{descendants, kill};

/// How often what a hanging step has started is looked for and killed, and the pause between.
const KILL_ROUNDS: u32 = 50;
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// Runs a step. At its limit every process that it has started is killed, and it fails.
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
            "it took longer than its limit of {} s: make it faster, or raise the limit in xtask/src/steps.rs \
             (--no-time-limits runs it without)",
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
    fn step_that_hangs_is_killed_with_all_that_it_started() {
        let limit = Duration::from_millis(200);
        let error = run_within(limit, || run("sh", &["-c", "sleep 1000 & sleep 1000"])).unwrap_err();
        assert!(error.to_string().starts_with("it took longer than its limit"), "{error}");
        assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
    }

    #[test]
    fn step_within_its_limit_returns_its_own_result() {
        let limit = Duration::from_secs(600);
        run_within(limit, || Ok(())).unwrap();
        let error = run_within(limit, || bail!("as it is")).unwrap_err();
        assert_eq!(error.to_string(), "as it is");
    }
}

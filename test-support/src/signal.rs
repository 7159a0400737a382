//! Signals to processes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

/// Maximum time until a process has stopped.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const STOP: &str = "-STOP";

/// Sends a signal to a process, such as `-TERM`. Returns after `-STOP` when no thread of it runs any more: the kernel stops
/// each when it schedules it, which takes a while on a busy machine.
///
/// # Panics
/// If the process does not exist, or does not stop.
pub fn send_signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill can be run");
    assert!(status.success(), "{signal} could not be sent to {pid}");
    let sent_at = Instant::now();
    while signal == STOP && !is_stopped(pid) {
        assert!(sent_at.elapsed() < STOP_DEADLINE, "{pid} has not stopped");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether all threads of a process are stopped (proc(5), the state in `/proc/PID/task/TID/stat`).
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process exists");
    threads.flatten().all(|thread| {
        let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { return true };
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

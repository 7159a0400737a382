//! Running programs from the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Runs a program; one that fails is an error that tells the command.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with_env(program, arguments, &[])
}

/// The same with variables of the environment.
pub(crate) fn run_with_env(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let command_line = format!("{program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot run: {command_line}"))?;
    if status.success() { Ok(()) } else { bail!("failed ({status}): {command_line}") }
}

/// Whether a program is there: it can be started with these arguments and succeeds.
pub(crate) fn check_installed(program: &str, arguments: &[&str]) -> Presence {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Presence::Installed,
        Ok(_) | Err(_) => Presence::Missing,
    }
}

/// The processes that a process has started, and those that these have started. Linux only.
pub(crate) fn descendants(ancestor: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> =
        std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(pid_and_parent).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(processes.iter().filter(|process| process.1 == parent).map(|process| process.0));
        next += 1;
    }
    found.remove(0);
    found
}

/// A living process of `/proc`, and its parent.
fn pid_and_parent(entry: std::fs::DirEntry) -> Option<(u32, u32)> {
    let process = entry.file_name().to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
    // `pid (name) state parent …`, where the name may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_alive = fields.next()? != "Z";
    let parent = fields.next()?.parse().ok()?;
    is_alive.then_some((process, parent))
}

/// Kills processes; those that are gone already are passed over.
pub(crate) fn kill(processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    // Of the shell: the program of this name is in a package that may not be installed yet.
    let command = format!("kill -KILL {}", processes.join(" "));
    let _ = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status();
}

/// Whether a program is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Installed,
    Missing,
}

#[expect(clippy::print_stderr, reason = "progress for the one who waits")]
pub(crate) fn print_progress(line: &str) {
    eprintln!("{line}");
}

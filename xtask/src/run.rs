//! Running programs in the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Runs a program. If it fails, the error contains the command.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with_env(program, arguments, &[])
}

/// Runs a program with environment variables.
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

/// Runs a program, and returns what it prints to standard output. If it fails, the error contains the command.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let command_line = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run: {command_line}"))?;
    if !output.status.success() {
        bail!("failed ({}): {command_line}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns whether a program can be started with these arguments and succeeds, for example because it is installed.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Removes a directory with its contents, if it exists, and creates it again.
pub(crate) fn create_empty_directory(directory: &Path) -> anyhow::Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    Ok(std::fs::create_dir_all(directory)?)
}

/// Returns all descendants of a process. Linux only.
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

/// Returns a live process of `/proc` and its parent.
fn pid_and_parent(entry: std::fs::DirEntry) -> Option<(u32, u32)> {
    let process = entry.file_name().to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
    // The format is `pid (name) state parent …`, and the name may contain any character.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_alive = fields.next()? != "Z";
    let parent = fields.next()?.parse().ok()?;
    is_alive.then_some((process, parent))
}

/// Kills processes, and ignores those that have exited.
pub(crate) fn kill(processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    // The builtin of the shell, because the program `kill` is in a package that may not be installed yet.
    let command = format!("kill -KILL {}", processes.join(" "));
    let _ = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status();
}

#[expect(clippy::print_stderr, reason = "progress output")]
pub(crate) fn print_progress(line: &str) {
    eprintln!("{line}");
}

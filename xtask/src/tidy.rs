//! Step `tidy`: the length and the first line of each file, lines that the program must not have, and links of documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::links;
use crate::run::root;

/// Lines of a source file, tests apart.
const MAX_LINES: usize = 400;

/// A rule for each line of the program.
struct LineRule {
    is_violation: fn(&str) -> bool,
    /// Crate to which the rule does not apply.
    exempt_crate: Option<&'static str>,
    advice: &'static str,
}

const LINE_RULES: &[LineRule] = &[
    LineRule {
        is_violation: spawns_task,
        exempt_crate: Some("runtime"),
        advice: "start tasks and threads through gatepost_runtime, so that a panic ends one thing",
    },
    LineRule {
        is_violation: registers_metric,
        exempt_crate: Some("runtime"),
        advice: "register metrics through gatepost_runtime::registered, so that none is defined and left out",
    },
    LineRule {
        is_violation: logs_error_without_causes,
        exempt_crate: None,
        advice: "log an error with its causes: error = %error_chain(&error)",
    },
];

/// Checks every file that git knows.
pub(crate) fn check() -> anyhow::Result<()> {
    let files = files()?;
    let read = |file: &Path| std::fs::read_to_string(root().join(file)).ok();
    let mut violations = links::find_broken(&files, read);
    for file in &files {
        let Some(text) = read(file) else { continue };
        violations.extend(find_violations(file, &text));
    }
    if violations.is_empty() { Ok(()) } else { bail!("{}", violations.join("\n")) }
}

fn files() -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().context("cannot run git")?;
    if !listed.status.success() {
        bail!("git does not list the files of this tree: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(PathBuf::from).collect())
}

/// Returns whether a file is part of the program, not of its tests and tools.
fn is_product_source(file: &Path) -> bool {
    let tools = ["benches", "test-support", "xtask"];
    let is_source = file.components().nth(1).is_some_and(|part| part.as_os_str() == "src");
    is_source && !tools.iter().any(|tool| file.starts_with(tool)) && !file.ends_with("tests.rs")
}

/// Returns whether a line starts a task or a thread by itself. A process is no task.
fn spawns_task(line: &str) -> bool {
    let spawn_calls =
        ["tokio::spawn(", "spawn_blocking(", "thread::spawn(", "tasks.spawn(", "set.spawn(", "thread::Builder"];
    spawn_calls.iter().any(|call| line.contains(call))
}

/// Returns whether a line registers a metric by itself.
fn registers_metric(line: &str) -> bool {
    line.contains("registry.register(")
}

/// Returns whether a line logs an error by its Display, which says its own level only.
fn logs_error_without_causes(line: &str) -> bool {
    let is_in_name = |character: char| character.is_alphanumeric() || character == '_';
    ["%error", "%err", "%failure", "%why", "%cause"].iter().any(|field| {
        let mut found = line.match_indices(field);
        found.any(|(at, _)| !line[at + field.len()..].starts_with(is_in_name))
    })
}

fn find_violations(file: &Path, text: &str) -> Vec<String> {
    let name = file.display();
    let mut violations = Vec::new();
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    if extension == "rs" && !is_test && code.lines().count() > MAX_LINES {
        violations.push(format!("{name}: more than {MAX_LINES} lines without its tests: take it apart"));
    }
    if extension == "rs" && !text.starts_with("//!") {
        violations.push(format!("{name}: must begin with //! and what the file is for"));
    }
    if extension == "lua" && !text.starts_with("--") {
        violations.push(format!("{name}: must begin with -- and what the script is for"));
    }
    if extension == "rs" && is_product_source(file) {
        let applies = |rule: &&LineRule| rule.exempt_crate.is_none_or(|exempt| !file.starts_with(exempt));
        for rule in LINE_RULES.iter().filter(applies) {
            let lines = code.lines().enumerate().filter(|(_, line)| (rule.is_violation)(line));
            violations.extend(lines.map(|(index, _)| format!("{name}:{}: {}", index + 1, rule.advice)));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_registered_by_the_runtime_only() {
        let violations =
            |file: &str| find_violations(Path::new(file), "//! A file.\nregistry.register(Box::new(a))?;\n");
        for file in ["verify/src/metrics.rs", "ops/src/server.rs"] {
            assert_eq!(violations(file).len(), 1, "{file}");
        }
        for file in ["runtime/src/registered.rs", "benches/src/load.rs", "verify/tests/it/metrics.rs"] {
            assert_eq!(violations(file).len(), 0, "{file}");
        }
    }

    #[test]
    fn errors_are_logged_with_their_causes() {
        let violations = |line: &str| find_violations(Path::new("store/src/a.rs"), &format!("//! A file.\n{line}\n"));
        for line in
            ["tracing::warn!(%error, \"a\");", "error = %failure,", "    %error,", "tracing::warn!(error = %err);"]
        {
            assert_eq!(violations(line).len(), 1, "{line}");
        }
        for line in
            ["tracing::warn!(error = %error_chain(&error), \"a\");", "tracing::warn!(%errors);", "panic!(\"{error}\");"]
        {
            assert_eq!(violations(line).len(), 0, "{line}");
        }
    }
}

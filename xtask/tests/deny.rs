//! Tests of the step `deny`, with a fake `cargo` in place of cargo-deny.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// Runs the step with scripts as `cargo deny fetch db` and `cargo deny … check … advisories`.
fn deny(fetch: &str, advisories: &str) -> Output {
    let programs = tempfile::tempdir().unwrap();
    let cargo = programs.path().join("cargo");
    let script = format!("#!/bin/sh\ncase \"$*\" in\n*\"fetch db\") {fetch} ;;\n*advisories) {advisories} ;;\nesac\n");
    std::fs::write(&cargo, script).unwrap();
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let mut step = Command::new(env!("CARGO_BIN_EXE_xtask"));
    step.args(["test", "--only", "deny"]).env("PATH", format!("{}:/usr/bin:/bin", programs.path().display()));
    step.output().unwrap()
}

#[test]
fn unavailable_advisories_are_skipped_with_the_reason() {
    let fetch = "echo 'Cloning…' >&2; echo 'fatal: Could not resolve host: github.com' >&2; echo >&2; exit 1";
    let output = deny(fetch, "exit 1");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let expected = "xtask: advisories SKIPPED, known vulnerabilities were not checked: fatal: Could not resolve host: \
                    github.com\n";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn an_advisory_fails_the_step() {
    let output = deny("exit 0", "echo 'error[vulnerability]: …' >&2; exit 1");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("error[vulnerability]") && !stderr.contains("SKIPPED"), "{stderr}");
}

#[test]
fn the_step_passes_without_advisories() {
    let output = deny("exit 0", "exit 0");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !stderr.contains("SKIPPED"), "{stderr}");
}

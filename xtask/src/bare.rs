//! `./demo` and `./test` on machines that have Rust and nothing else: fresh Debian roots.

use crate::run::{Presence, is_there, run, tell};

/// Tries them in the root of one Debian release.
const SCRIPT: &str = "xtask/bare-machine.sh";
/// Debian 12 and 13.
const SUITES: &[&str] = &["bookworm", "trixie"];
/// What the script cannot do without, and how it is seen.
const NEEDS: &[(&str, &str)] = &[
    ("root", "test \"$(id -u)\" = 0"),
    ("mmdebstrap (apt-get install mmdebstrap)", "mmdebstrap --version"),
    ("mount namespaces", "unshare --mount --pid --fork true"),
    ("a Rust of rustup", "rustup --version"),
];

/// Runs the script for each release, or says why this machine cannot.
pub(crate) fn check() -> anyhow::Result<()> {
    let lacks = |check: &str| is_there("sh", &["-c", check]) == Presence::Missing;
    let lacking: Vec<&str> = NEEDS.iter().filter(|(_, check)| lacks(check)).map(|(need, _)| *need).collect();
    if !lacking.is_empty() {
        tell(&format!("xtask: bare SKIPPED, nothing was tried: this machine lacks {}", lacking.join(", ")));
        return Ok(());
    }
    SUITES.iter().try_for_each(|suite| run("sh", &[SCRIPT, suite]))
}

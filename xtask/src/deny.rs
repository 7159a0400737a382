//! What the dependencies are and may be: licences, sources, bans, and known vulnerabilities.

use std::process::Command;

use anyhow::Context;

use crate::install;
use crate::run::{root, run, tell};

/// Runs all checks of cargo-deny. Advisories are left out, and said to be, where their database cannot be had.
pub(crate) fn check() -> anyhow::Result<()> {
    install::cargo_deny()?;
    run("cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"])?;
    match database()? {
        Database::Fetched => run("cargo", &["deny", "--workspace", "check", "advisories"]),
        Database::OutOfReach(reason) => {
            tell(&format!("xtask: advisories SKIPPED, known vulnerabilities were not looked for: {reason}"));
            Ok(())
        }
    }
}

/// Whether the database of advisories is here.
enum Database {
    Fetched,
    /// Why not.
    OutOfReach(String),
}

/// Fetches it, or updates it.
fn database() -> anyhow::Result<Database> {
    let arguments = ["deny", "fetch", "db"];
    let fetched = Command::new("cargo").args(arguments).current_dir(root()).output();
    let fetched = fetched.with_context(|| format!("cannot run: cargo {}", arguments.join(" ")))?;
    if fetched.status.success() {
        return Ok(Database::Fetched);
    }
    let text = String::from_utf8_lossy(&fetched.stderr);
    let reason = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason was given");
    Ok(Database::OutOfReach(reason.to_owned()))
}

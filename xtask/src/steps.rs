//! The list of checks. There is no other.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::TestOptions;
use crate::bench::instructions;
use crate::run::{run, run_with, tell};
use crate::{install, npm, openapi, release, schemathesis, tidy};

/// A check by its name.
struct Step {
    name: &'static str,
    check: fn(&TestOptions) -> anyhow::Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "install", check: |_| install::system() },
    Step { name: "tidy", check: |_| tidy::check() },
    Step { name: "fmt", check: |_| run("cargo", &["fmt", "--all", "--check"]) },
    Step {
        name: "clippy",
        check: |_| run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    },
    Step { name: "npm", check: |_| npm::install() },
    Step { name: "test", check: |_| test() },
    Step { name: "schemathesis", check: schemathesis::check },
    Step { name: "openapi", check: |_| openapi::check() },
    Step { name: "long", check: long },
    Step { name: "instructions", check: |_| instructions() },
    Step { name: "docs", check: |_| docs() },
    Step { name: "deny", check: |_| deny() },
];

/// Runs all steps in order, or the one that was asked for.
pub(crate) fn run_all(options: &TestOptions) -> anyhow::Result<()> {
    if let Some(only) = &options.only
        && !STEPS.iter().any(|step| step.name == only)
    {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step {only}; there are {}", names.join(", "));
    }
    if options.only.as_deref() == Some("long") && !options.long {
        bail!("the step long runs only with --long: cargo xtask test --long --only long");
    }
    for step in STEPS {
        if options.only.as_deref().is_none_or(|only| only == step.name) {
            tell(&format!("xtask: {}", step.name));
            let began = now();
            (step.check)(options).with_context(|| format!("step {}", step.name))?;
            tell(&format!("xtask: {} passed in {:.1} s", step.name, (now() - began).as_secs_f64()));
        }
    }
    tell("xtask: all passed");
    Ok(())
}

/// Unit tests, conformance and end to end: one binary for each crate.
fn test() -> anyhow::Result<()> {
    run("cargo", &["test", "--workspace", "--locked"])
}

/// End to end once more, with storms and with the numbers that take minutes. Tells what it measures.
fn long(options: &TestOptions) -> anyhow::Result<()> {
    if !options.long {
        tell("xtask: only with --long");
        return Ok(());
    }
    // Its own step comes before, unless this one was asked for alone.
    npm::install()?;
    release::build_all()?;
    // As it is shipped: what is measured here is told to others.
    let arguments = ["test", "--release", "--package", "gatepost", "--features", "long", "--test", "e2e", "--locked"];
    run("cargo", &[&arguments[..], &["--", "--nocapture", "--test-threads", "2"]].concat())
}

fn docs() -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run_with("cargo", &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn deny() -> anyhow::Result<()> {
    install::cargo_deny()?;
    run("cargo", &["deny", "--workspace", "check", "bans", "licenses", "sources"])
}

/// Time since some moment, to tell how long a step took.
#[expect(clippy::disallowed_methods, reason = "nothing here is tested under another clock")]
fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

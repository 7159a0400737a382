//! `cargo xtask check`: what a developer runs after each edit. It needs nothing but Rust.

use crate::run::{print_progress, run};
use crate::{circles, crate_map, names, tidy};

/// Runs the checks that need no other program, the quickest first.
pub(crate) fn run_all() -> anyhow::Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    tidy::check()?;
    names::check()?;
    circles::check()?;
    crate_map::check()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])?;
    // The binaries of the fuzz targets run without end.
    let tests = ["test", "--workspace", "--exclude", "gatepost-fuzz", "--lib", "--bins", "--locked", "--quiet"];
    run("cargo", &tests)?;
    print_progress("xtask: all passed; ./test runs the rest");
    Ok(())
}

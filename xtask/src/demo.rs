//! `cargo xtask demo`: builds the release program and runs its demo.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::anyhow;

use crate::DemoOptions;
use crate::build_time::BuildTime;
use crate::run::{print_progress, root, run};

/// Time of a clean release build, measured on a 2.6 GHz server processor.
const RELEASE_BUILD: BuildTime = BuildTime { serial_s: 90, parallel_core_s: 600 };

/// Builds the program and replaces this process with it, so that Ctrl-C and the exit code are those of the demo.
pub(crate) fn run_demo(options: &DemoOptions) -> anyhow::Result<()> {
    let program = target_directory().join("release").join("gatepost");
    if !program.exists() {
        print_progress(&format!("xtask: building the program, {}; this is only needed once", RELEASE_BUILD.estimate()));
    }
    run("cargo", &["build", "--release", "--locked", "--package", "gatepost"])?;
    let error = Command::new(&program).arg("demo").args(&options.arguments).exec();
    Err(anyhow!(error).context(format!("cannot run {}", program.display())))
}

/// Returns the target directory of cargo.
fn target_directory() -> PathBuf {
    let executable = std::env::current_exe().ok();
    // This program is `debug/xtask` in the target directory.
    let target = executable.as_deref().and_then(|executable| executable.parent()?.parent());
    target.map_or_else(|| root().join("target"), PathBuf::from)
}

//! Python environments with the packages of a file of requirements.

use std::path::Path;

use crate::run::{run, succeeds};

/// Installs packages into an environment, which is created if it is missing or damaged.
pub(crate) fn install(environment: &Path, requirements: &Path) -> anyhow::Result<()> {
    let pip = environment.join("bin/pip").display().to_string();
    if !succeeds(&pip, &["--version"]) {
        run("python3", &["-m", "venv", "--clear", &environment.display().to_string()])?;
    }
    let requirements = requirements.display().to_string();
    run(&pip, &["install", "--quiet", "--disable-pip-version-check", "--requirement", &requirements])
}

//! Checks of the files in `deploy` that need no running program. Tests of the crate `gatepost` run them.

mod compositions;

use crate::python_environment;
use crate::run::{root, run};

/// Directory of the tools, and of what they make, below the root.
const DIRECTORY: &str = "target/deploy";
const REQUIREMENTS: &str = "xtask/deploy/requirements.txt";

pub(crate) fn check() -> anyhow::Result<()> {
    install_tools()?;
    run(&tool("hadolint"), &["deploy/container/Dockerfile"])?;
    compositions::check()
}

/// Returns the path of a tool of the Python environment.
fn tool(name: &str) -> String {
    root().join(DIRECTORY).join("venv/bin").join(name).display().to_string()
}

fn install_tools() -> anyhow::Result<()> {
    python_environment::install(&root().join(DIRECTORY).join("venv"), &root().join(REQUIREMENTS))
}

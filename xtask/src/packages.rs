//! Packages of the end-to-end tests, from npm and from PyPI.

use crate::python_environment;
use crate::run::{root, run};

/// Directories with a lock file of npm each.
const NPM_DIRECTORIES: [&str; 2] = ["gatepost/tests/npm", "gatepost/tests/browser"];
/// Python environment that the tests use.
const PYTHON_ENVIRONMENT: &str = "target/python-packages";
const PYTHON_REQUIREMENTS: &str = "gatepost/tests/python/requirements.txt";

/// Installs the packages exactly as in the lock files of npm, and as in the requirements with their hashes.
pub(crate) fn install() -> anyhow::Result<()> {
    install_node()?;
    python_environment::install(&root().join(PYTHON_ENVIRONMENT), &root().join(PYTHON_REQUIREMENTS))
}

/// Installs the packages of npm.
pub(crate) fn install_node() -> anyhow::Result<()> {
    for directory in NPM_DIRECTORIES {
        let directory = root().join(directory).display().to_string();
        run("npm", &["ci", "--silent", "--no-audit", "--no-fund", "--prefix", &directory])?;
    }
    Ok(())
}

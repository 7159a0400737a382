//! The chart in `deploy/kubernetes`, which a script in Python renders and checks with the library of Helm.

use super::tool;
use crate::run::run;

const SCRIPT: &str = "xtask/deploy/chart.py";

pub(crate) fn check() -> anyhow::Result<()> {
    run(&tool("python"), &[SCRIPT])
}

pub(crate) fn write_manifests() -> anyhow::Result<()> {
    run(&tool("python"), &[SCRIPT, "--write"])
}

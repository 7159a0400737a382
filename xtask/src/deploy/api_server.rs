//! The chart on a real API server of Kubernetes, without nodes. Its programs are made once, and kept.

use super::{DIRECTORY, install_tools, tool};
use crate::install;
use crate::run::{root, run};

const BUILD: &str = "xtask/deploy/build-api-server.sh";
const SCRIPT: &str = "xtask/deploy/chart_on_api_server.py";

pub(crate) fn check() -> anyhow::Result<()> {
    install::packages_of_long_steps()?;
    install_tools()?;
    let programs = root().join(DIRECTORY).join("kubernetes");
    let directory = programs.display().to_string();
    if !programs.join("kube-apiserver").exists() {
        run("sh", &[BUILD, &directory])?;
    }
    run(&tool("python"), &[SCRIPT, &directory])
}

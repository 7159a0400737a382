//! The compositions in `deploy/compose`, as Docker Compose reads them. Tests of the crate `gatepost` run them with podman.

use super::DIRECTORY;
use crate::run::{root, run};

/// Suite of Debian that has Docker Compose 2, which is one program that needs no daemon for this.
const SUITE: &str = "trixie";
const PROGRAM: &str = "usr/libexec/docker/cli-plugins/docker-compose";
const COMPOSITIONS: [&str; 2] = ["deploy/compose/compose.yaml", "deploy/compose/compose.redis.yaml"];

pub(crate) fn check() -> anyhow::Result<()> {
    let tree = root().join(DIRECTORY).join("docker-compose");
    let program = tree.join(PROGRAM);
    if !program.exists() {
        let unpack = ["--quiet", "--variant=extract", "--include=docker-compose", SUITE];
        run("mmdebstrap", &[&unpack[..], &[&tree.display().to_string()]].concat())?;
    }
    let program = program.display().to_string();
    COMPOSITIONS.iter().try_for_each(|file| run(&program, &["--file", file, "config", "--quiet"]))
}
